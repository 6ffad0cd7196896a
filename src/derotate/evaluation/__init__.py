# SPDX-License-Identifier: MIT
"""Evaluation: a checkpoint's responses to problems, one row per problem and attempt."""

# SPDX-License-Identifier: MIT
"""Evaluation: a checkpoint answers problems, one row per problem and attempt."""

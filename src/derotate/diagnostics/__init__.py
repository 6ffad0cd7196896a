# SPDX-License-Identifier: MIT
"""Diagnostics of a pair of checkpoints: weights, hidden states, next-token distributions."""

# SPDX-License-Identifier: MIT
"""Diagnostics of a pair of checkpoints: weights, hidden states, next-token distributions."""

LANDMARKS = ("base", "max_ood", "sft_end", "rl_end")
"""The checkpoints of a run that are compared, in the order of the rules' inputs."""

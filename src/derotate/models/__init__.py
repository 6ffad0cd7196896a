# SPDX-License-Identifier: MIT
"""Checkpoints: reading, writing, naming their tensors, and the tiny model."""

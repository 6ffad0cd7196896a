# SPDX-License-Identifier: MIT
"""Rank: of 4x5 matrices in distribution, of 5x4 matrices out of it."""

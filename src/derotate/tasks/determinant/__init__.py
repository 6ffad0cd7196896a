# SPDX-License-Identifier: MIT
"""Determinant: of 2x2 matrices in distribution, of 3x3 matrices out of it."""

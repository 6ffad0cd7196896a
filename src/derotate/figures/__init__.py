# SPDX-License-Identifier: MIT
"""Figures, drawn from tables."""

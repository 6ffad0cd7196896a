# SPDX-License-Identifier: MIT
"""Singular values and vectors of weights: factors, metrics with nulls, surgery."""

# SPDX-License-Identifier: MIT
"""Singular values and vectors of weights: decompositions, metrics beside nulls, guards."""

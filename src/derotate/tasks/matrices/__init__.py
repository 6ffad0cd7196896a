# SPDX-License-Identifier: MIT
"""Shared by the tasks on integer matrices: grids, classes, folds, streams, answer fields."""

# SPDX-License-Identifier: MIT
"""What the tasks about integer matrices share: grids, symmetry, folds, answer fields."""

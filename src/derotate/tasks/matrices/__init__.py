# SPDX-License-Identifier: MIT
"""What the tasks about integer matrices share: grids, classes, folds, streams, answer fields."""

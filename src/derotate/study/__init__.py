# SPDX-License-Identifier: MIT
"""The parts of a study: paths, checkpoints, arms, RL algorithms, provenance."""

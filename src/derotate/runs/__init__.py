# SPDX-License-Identifier: MIT
"""Runs of the workflow: locks, dry runs, logs, archives, and SLURM."""

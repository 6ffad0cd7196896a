# SPDX-License-Identifier: MIT
"""The commands of `derotate` that are not a run of the workflow."""

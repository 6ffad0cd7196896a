# SPDX-License-Identifier: MIT
"""Checkpoints of any size: read tensor by tensor, guarded, edited, written without being loaded."""

# SPDX-License-Identifier: MIT
"""The device of a job that trains, generates or scores."""

from __future__ import annotations

import torch


def fastest() -> torch.device:
    """A GPU if the job has one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

# SPDX-License-Identifier: MIT
"""Where a job that generates or scores puts its model."""

from __future__ import annotations

import torch


def fastest() -> torch.device:
    """A GPU if the job was given one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

# SPDX-License-Identifier: MIT
"""What a checkpoint that fails a guard raises, and whether a loaded model is the one evaluated.

What the guards ask of weights is in `derotate.spectral.checkpoint_guards`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class GuardError(ValueError):
    """A checkpoint that fails a guard; one line with what was measured and what was expected."""


def loss_difference(losses: Sequence[float], recorded: Sequence[float]) -> float:
    """Largest difference of losses of a loaded model to those that its evaluation recorded; NaN if
    one of them is.

    Args:
        losses: nats a token, one a problem.
        recorded: of the same problems.
    """
    return float(np.abs(np.subtract(losses, recorded)).max())

# SPDX-License-Identifier: MIT
"""Guards before spectra: a checkpoint whose weights look random, or far from its base, is refused.

A load that leaves random weights in place gives spectra that agree to three digits and vectors that
look rotated (papers.md 0.1), so nothing is read off a spectrum before these checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import Tensor

from derotate.spectral.distance import marchenko_pastur_distance, relative_norm
from derotate.spectral.svd import Factors

if TYPE_CHECKING:
    from derotate.settings import Guards


class GuardError(ValueError):
    """A checkpoint that fails a guard; one line with what was measured and what was expected."""


def measure(
    factors: Mapping[str, Factors],
    state: Mapping[str, Tensor],
    reference: Mapping[str, Tensor] | None,
) -> pd.DataFrame:
    """One row a matrix: distance to the random-matrix law, and relative change from the reference.

    Args:
        factors: tensor name -> factors.
        state: tensor name -> weight [out, in].
        reference: weights that the checkpoint was trained from; None where there are none.
    """
    return pd.DataFrame(
        [
            {
                "matrix": name,
                "marchenko_pastur_distance": marchenko_pastur_distance(
                    own.s, (state[name].shape[0], state[name].shape[1])
                ),
                "relative_change": relative_norm(reference[name], state[name])
                if reference
                else float("nan"),
            }
            for name, own in factors.items()
        ]
    )


def loss_difference(losses: Sequence[float], recorded: Sequence[float]) -> float:
    """Largest difference of losses of a loaded model to those that its evaluation recorded; NaN if
    one of them is.

    Args:
        losses: nats a token, one a problem.
        recorded: of the same problems.
    """
    return float(np.abs(np.subtract(losses, recorded)).max())


def failures(checkpoint: str, table: pd.DataFrame, guards: Guards) -> list[str]:
    """The guards that the measurements fail, a line each."""
    found = []
    distance = table["marchenko_pastur_distance"].median()
    if distance < guards.marchenko_pastur_distance:
        found.append(
            f"{checkpoint}: spectra look like random weights: median Kolmogorov distance to the "
            f"Marchenko-Pastur law is {distance:.3f}, expected at least "
            f"{guards.marchenko_pastur_distance:g}; check that it was loaded under the right prefix"
        )
    largest = table.loc[table["relative_change"].fillna(0).idxmax()]
    if largest["relative_change"] > guards.relative_change:
        found.append(
            f"{checkpoint}: {largest['matrix']} differs from the base by "
            f"{largest['relative_change']:.3f} of its norm, expected at most "
            f"{guards.relative_change:g}; check that both are checkpoints of one model"
        )
    return found

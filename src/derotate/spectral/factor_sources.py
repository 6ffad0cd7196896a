# SPDX-License-Identifier: MIT
"""Where the factors of a matrix come from: the files that a study made, or a decomposition now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from derotate.spectral.factor_cache import opened_cache
from derotate.spectral.factors import Decompose, Factors, StoredFactors

Sources = Callable[[str, Tensor, Tensor], AbstractContextManager[Decompose]]
"""Opens what gives the factors of one matrix, for its name, the donor's weight and the patient's;
closed when they were used."""


def cached(kept: Path | None, passing: Path, dtype: torch.dtype = torch.float32) -> Sources:
    """Decompose what is asked for, and keep it.

    Args:
        kept: folder of the factors; None for those of one matrix at a time, in `passing`.
        passing: folder that is removed with each matrix.
        dtype: of the factors.
    """

    @contextmanager
    def opened(name: str, donor_weight: Tensor, patient_weight: Tensor) -> Iterator[Decompose]:
        with opened_cache(kept, passing, dtype) as cache:
            yield cache.factors

    return opened


def stored(donor: StoredFactors, patient: StoredFactors, passing: Path) -> Sources:
    """Read what was decomposed before; a matrix that was not, as embedding and head, is now.

    What is decomposed now gets the type of what was.

    Args:
        donor: factors of the donor's matrices.
        patient: of the patient's.
        passing: folder for the factors of a matrix that the files lack, removed with it.
    """

    @contextmanager
    def opened(name: str, donor_weight: Tensor, patient_weight: Tensor) -> Iterator[Decompose]:
        with opened_cache(None, passing, patient.dtype) as cache:

            def decompose(weight: Tensor) -> Factors:
                known = donor if weight is donor_weight else patient
                return known[name] if name in known else cache.factors(weight)

            yield decompose

    return opened

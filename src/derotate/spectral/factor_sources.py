# SPDX-License-Identifier: MIT
"""Sources of a matrix's factors: the factor files of a study, or a cache that decomposes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from derotate.spectral.factor_cache import opened_cache
from derotate.spectral.factors import Decompose, Factors, StoredFactors

Sources = Callable[[str, Tensor, Tensor], AbstractContextManager[Decompose]]
"""Opens a `Decompose` for one matrix, given its name, the donor's weight and the patient's. Factors
are valid until it is closed."""


def cached(folder: Path | None, temporary: Path, dtype: torch.dtype = torch.float32) -> Sources:
    """Decompose weights on first use and cache their factors.

    Args:
        folder: a permanent cache; None: a cache for one matrix at a time in `temporary`.
        temporary: folder that is removed after each matrix.
        dtype: of the factors.
    """

    @contextmanager
    def opened(name: str, donor_weight: Tensor, patient_weight: Tensor) -> Iterator[Decompose]:
        with opened_cache(folder, temporary, dtype) as cache:
            yield cache.factors

    return opened


def stored(donor: StoredFactors, patient: StoredFactors, temporary: Path) -> Sources:
    """Read factors from files; decompose a matrix that they lack, as embedding and head.

    Args:
        donor: factors of the donor's matrices.
        patient: factors of the patient's matrices.
        temporary: folder for the factors of a matrix that the files lack; removed after use.
    """

    @contextmanager
    def opened(name: str, donor_weight: Tensor, patient_weight: Tensor) -> Iterator[Decompose]:
        with opened_cache(None, temporary, patient.dtype) as cache:

            def decompose(weight: Tensor) -> Factors:
                # Donor and patient have the same tensor names; the object tells which one it is.
                factors = donor if weight is donor_weight else patient
                return factors[name] if name in factors else cache.factors(weight)

            yield decompose

    return opened

# SPDX-License-Identifier: MIT
"""How the weights of a run's landmarks differ: where a change lies, and how sparse it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from derotate.diagnostics.weight_table import COLUMNS, diagnose_pair, matrix_rows
from derotate.files.atomic import atomic_write
from derotate.models.shards import open_shards
from derotate.spectral.decompose import factorise
from derotate.spectral.factors import load_factors
from derotate.spectral.nulls import matrix_generator, norm_null
from derotate.stages.spectra import FRACTIONS, NULL_SEED

PAIRS = (("base", "sft_end"), ("max_ood", "sft_end"), ("sft_end", "rl_end"))
"""What SFT changed in all, what it changed after the peak, what RL changed."""


def compare_weights(
    *, landmarks: Mapping[str, Path], factors: Mapping[str, Path], out: Path
) -> None:
    """Write `diagnose_pair` of each of `PAIRS`, and the same of a random change of equal norm.

    The random change (`norm_null`) is the one that the spectra of the pair stand beside; it is the
    null of the distances that have no closed form.

    Args:
        landmarks: checkpoint directory of each landmark; where a pair is one checkpoint, nothing
            changed and the pair is left out.
        factors: their cached singular value decompositions.
        out: Parquet with pair and the columns of `weight_table.COLUMNS`.
    """
    pairs = [pair for pair in PAIRS if landmarks[pair[0]] != landmarks[pair[1]]]
    with atomic_write(out) as part:
        pd.concat([_pair(*pair, landmarks, factors) for pair in pairs]).to_parquet(
            part, index=False
        )


def _pair(
    donor: str, patient: str, landmarks: Mapping[str, Path], factors: Mapping[str, Path]
) -> pd.DataFrame:
    before, after = (open_shards(landmarks[name]) for name in (donor, patient))
    left, right = (load_factors(factors[name]) for name in (donor, patient))
    rows = []
    for name, known in left.items():
        change = float((after[name].double() - before[name].double()).norm())
        turned = norm_null(before[name], change, matrix_generator(NULL_SEED, name))
        decomposed = factorise(turned, torch.float64)
        rows += matrix_rows(
            name, known, decomposed, before[name], turned, FRACTIONS, against="norm_null"
        )
    null = pd.DataFrame(rows, columns=list(COLUMNS))
    table = pd.concat([diagnose_pair(before, after, left, right, FRACTIONS), null])
    return table.assign(pair=f"{donor}:{patient}")[["pair", *COLUMNS]]

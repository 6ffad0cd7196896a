# SPDX-License-Identifier: MIT
"""The spectral table of a pair of checkpoints of any size, matrix by matrix.

The table of `derotate.stages.spectra.compare`, for models that are not loaded. Its rows are written
as they are made; what is held is about six float64 copies of the largest matrix, as angles are
taken of whole bases.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from derotate.scratch import scratch
from derotate.spectral.factor_cache import FactorCache, opened_cache
from derotate.spectral.matrices import DEFAULT_KINDS, matrix_kind
from derotate.spectral.nulls import norm_null, unrelated_null
from derotate.spectral.rotation import spectra_rows
from derotate.spectral.stream import factorise_streamed, tall, tall_difference
from derotate.spectral.surgery import matrix_generator
from derotate.weights.operation import Operands, open_pair

SCHEMA = pa.schema(
    [
        ("matrix", pa.string()),
        ("layer", pa.int64()),
        ("kind", pa.string()),
        ("against", pa.string()),
        ("metric", pa.string()),
        ("fraction", pa.float64()),
        ("index", pa.int64()),
        ("value", pa.float64()),
    ]
)


def compare(
    donor: Path,
    patient: Path,
    out: Path,
    fractions: Sequence[float],
    *,
    null_seed: int,
    cache: Path | None = None,
) -> None:
    """Values, angles and energies of each projection matrix of a pair, each beside two nulls.

    Args:
        donor: directory of a checkpoint.
        patient: of the same model.
        out: parquet file, with the rows of `spectra_rows`.
        fractions: shares of the rank whose top subspaces are compared.
        null_seed: of the random changes and the unrelated matrices.
        cache: folder that keeps the factors; by default those of one matrix at a time.

    Raises:
        CheckpointError: one line; nothing is written.
    """
    pair = open_pair(donor, patient)
    kinds = {name: matrix_kind(name) for name in sorted(pair.patient)}
    names = [name for name, kind in kinds.items() if kind and kind[1] in DEFAULT_KINDS]
    with scratch(out) as aside:
        with pq.ParquetWriter(aside / "table", SCHEMA) as writer:
            for name in names:
                with opened_cache(cache, aside / "factors") as factors:
                    table = pd.DataFrame(_rows(name, pair, factors, fractions, null_seed))
                writer.write_table(pa.Table.from_pandas(table, SCHEMA, preserve_index=False))
        os.replace(aside / "table", out)


def _rows(
    name: str, pair: Operands, factors: FactorCache, fractions: Sequence[float], null_seed: int
) -> list[dict[str, object]]:
    before, after = pair.donor[name], pair.patient[name]
    own = factors.factors(before)
    rows = spectra_rows(name, own, factors.factors(after), before, after, fractions)
    draw = matrix_generator(null_seed, name)
    difference = tall_difference(after, before)
    blocks = (difference.read(block).square().sum() for block in difference.blocks())
    turned = norm_null(before, float(sum(blocks)) ** 0.5, draw)
    moved = factorise_streamed(tall(turned), torch.float64)
    rows += spectra_rows(name, own, moved, before, turned, fractions, against="norm_null")
    del turned, moved
    sides = unrelated_null((before.shape[0], before.shape[1]), draw)
    first, second = (factorise_streamed(tall(side)) for side in sides)
    return rows + spectra_rows(name, first, second, *sides, fractions, against="unrelated_null")

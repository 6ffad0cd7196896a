# SPDX-License-Identifier: MIT
"""The spectral table of a pair of checkpoints of any size, matrix by matrix.

Its rows are written as they are made; what is held is about six float64 copies of the largest
matrix, as angles are taken of whole bases.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from derotate.files.scratch import scratch
from derotate.models.pair import open_same
from derotate.spectral.decompose import factorise_streamed, tall, tall_difference
from derotate.spectral.factor_sources import cached, stored
from derotate.spectral.factors import Decompose, StoredFactors
from derotate.spectral.inspect_checkpoint import projections
from derotate.spectral.nulls import matrix_generator, norm_null, unrelated_null
from derotate.spectral.rotation import spectra_rows

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
    factors: tuple[StoredFactors, StoredFactors] | None = None,
) -> None:
    """Values, angles and energies of each projection matrix of a pair, each beside two nulls.

    Args:
        donor: directory of a checkpoint.
        patient: of the same model.
        out: parquet file, with the rows of `spectra_rows`.
        fractions: shares of the rank whose top subspaces are compared.
        null_seed: of the random changes and the unrelated matrices.
        factors: of donor and patient; what they lack is decomposed on the way.

    Raises:
        CheckpointError: one line; nothing is written.
    """
    pair = open_same(donor, patient)
    with scratch(out) as aside:
        passing = aside / "factors"
        sources = stored(*factors, passing) if factors else cached(None, passing)
        with pq.ParquetWriter(aside / "table", SCHEMA) as writer:
            for name in sorted(projections(pair.patient)):
                weights = pair.donor[name], pair.patient[name]
                with sources(name, *weights) as decompose:
                    rows = _rows(name, *weights, decompose, fractions, null_seed)
                    table = pd.DataFrame(rows)
                writer.write_table(pa.Table.from_pandas(table, SCHEMA, preserve_index=False))
        os.replace(aside / "table", out)


def _rows(
    name: str,
    before: Tensor,
    after: Tensor,
    decompose: Decompose,
    fractions: Sequence[float],
    null_seed: int,
) -> list[dict[str, object]]:
    own = decompose(before)
    rows = spectra_rows(name, own, decompose(after), before, after, fractions)
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

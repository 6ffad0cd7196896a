# SPDX-License-Identifier: MIT
"""The spectral table of a pair of checkpoints of any size, matrix by matrix.

Rows are written as they are computed. Memory peaks at about six float64 copies of the largest
matrix, because angles need complete bases.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from derotate.files.atomic import atomic_write
from derotate.files.scratch import scratch_folder
from derotate.models.pair import open_finite
from derotate.spectral.decompose import difference_view, factorise_streamed, tall_view
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
    """Values, angles and energies of each projection matrix of a pair, and those of two nulls.

    Args:
        donor: directory of a checkpoint.
        patient: directory of a checkpoint of the same model.
        out: Parquet file with the rows of `spectra_rows`.
        fractions: shares of the rank whose top subspaces are compared.
        null_seed: of the random changes and the unrelated matrices.
        factors: of donor and patient; a matrix that they lack is decomposed.

    Raises:
        CheckpointError: one line; nothing is written.
    """
    pair = open_finite(donor, patient)
    temporary = scratch_folder(out)
    sources = stored(*factors, temporary) if factors else cached(None, temporary)
    with atomic_write(out) as part, pq.ParquetWriter(part, SCHEMA) as writer:
        for name in sorted(projections(pair.patient)):
            weights = pair.donor[name], pair.patient[name]
            with sources(name, *weights) as decompose:
                table = pd.DataFrame(_rows(name, *weights, decompose, fractions, null_seed))
            writer.write_table(pa.Table.from_pandas(table, SCHEMA, preserve_index=False))


def _rows(
    name: str,
    before: Tensor,
    after: Tensor,
    decompose: Decompose,
    fractions: Sequence[float],
    null_seed: int,
) -> list[dict[str, object]]:
    donor = decompose(before)
    rows = spectra_rows(name, donor, decompose(after), before, after, fractions)
    generator = matrix_generator(null_seed, name)
    difference = difference_view(after, before)
    squares = (difference.read(block).square().sum() for block in difference.blocks())
    changed = norm_null(before, float(sum(squares)) ** 0.5, generator)
    # float64: a change that is small against the weight turns vectors by small angles.
    null = factorise_streamed(tall_view(changed), torch.float64)
    rows += spectra_rows(name, donor, null, before, changed, fractions, against="norm_null")
    # Freed before the second null, which is as large.
    del changed, null
    sides = unrelated_null((before.shape[0], before.shape[1]), generator)
    first, second = (factorise_streamed(tall_view(side)) for side in sides)
    return rows + spectra_rows(name, first, second, *sides, fractions, against="unrelated_null")

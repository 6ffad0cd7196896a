# SPDX-License-Identifier: MIT
"""What is told of an edit, a row a matrix."""

from __future__ import annotations

from dataclasses import dataclass

from derotate.surgery.apply import Edit


@dataclass(frozen=True)
class Row:
    """What was done to one matrix.

    Attributes:
        matrix: name of the tensor.
        rank: of the change as it was written to an adapter; None in a checkpoint.
        edit_norm: ||delta||_F.
        cast_error: ||W' as stored - W'||_F / ||delta||_F; NaN where nothing was
            changed, or nothing was cast.
        relative_change: ||W_t - W_b||_F / ||W_b||_F.
        donor_distance: of the donor's spectrum to the random-matrix law; NaN if not decomposed.
        patient_distance: of the patient's.
    """

    matrix: str
    rank: int | None
    edit_norm: float
    cast_error: float
    relative_change: float
    donor_distance: float
    patient_distance: float


def row_of(edit: Edit, rank: int | None, norm: float, cast_error: float) -> Row:
    """The row of an edit: its rank in an adapter, its norm, what the cast lost."""
    return Row(
        matrix=edit.name,
        rank=rank,
        edit_norm=norm,
        cast_error=cast_error,
        relative_change=edit.patient.relative_change,
        donor_distance=edit.donor.marchenko_pastur_distance,
        patient_distance=edit.patient.marchenko_pastur_distance,
    )

# SPDX-License-Identifier: MIT
"""The table of `derotate.diagnostics.weights` for a pair of checkpoints, with what chance gives.

Its rows join those of `derotate.spectral.rotation.spectra_rows`: same columns, other metrics.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from torch import Tensor

from derotate.config.matrix_kinds import matrix_kind
from derotate.diagnostics import weights
from derotate.spectral.angles import principal_angles, vector_angles
from derotate.spectral.distance import relative_norm
from derotate.spectral.factors import Factors
from derotate.spectral.random_matrices import unrelated_chordal

COLUMNS = ("matrix", "layer", "kind", "against", "metric", "fraction", "index", "value")


def matrix_rows(
    name: str,
    donor: Factors,
    patient: Factors,
    donor_weight: Tensor,
    patient_weight: Tensor,
    fractions: Sequence[float],
    *,
    against: str = "patient",
) -> list[dict[str, object]]:
    """All metrics of one matrix as rows that join those of `spectral.rotation.spectra_rows`.

    Args:
        name: tensor name, from which layer and kind are read.
        donor: factors of `donor_weight`.
        patient: factors of `patient_weight`.
        donor_weight: W_b [out, in].
        patient_weight: W_t [out, in].
        fractions: shares of the rank (0 to 1); k is round(f * rank), at least one.
        against: what W_t is: the patient, or the name of a null.

    Returns:
        Rows with `COLUMNS`: `index` counts singular values of dW (metric change_value) from 0 and
        is -1 where a metric is one number; `fraction` is NaN where a metric has none;
        direction_energy is in degrees.
    """
    measured = _measured(donor, patient, donor_weight, patient_weight, fractions)
    return [_row(name, against, *numbers) for numbers in measured]


def expected_rows(
    name: str,
    donor: Factors,
    donor_weight: Tensor,
    patient_weight: Tensor,
    fractions: Sequence[float],
) -> list[dict[str, object]]:
    """What closed forms expect for one matrix; arguments and rows as of `matrix_rows`.

    `against` is random_change, a change of equal norm without a direction (also for the energies
    of `spectra_rows`), or unrelated, weights of that shape that have nothing in common (distances
    of subspaces, as the root of the expected square).
    """
    shape = (donor_weight.shape[0], donor_weight.shape[1])
    ratio = relative_norm(donor_weight, patient_weight)
    norm = ratio * float(donor_weight.double().norm())
    random = [
        ("stable_rank", math.nan, -1, weights.isotropic_stable_rank(shape)),
        ("update_sparsity", math.nan, -1, weights.isotropic_sparsity(ratio)),
    ]
    unrelated = []
    for fraction in fractions:
        size = _size(donor, fraction)
        random += [
            (f"energy_{part}", fraction, -1, share)
            for part, share in weights.isotropic_energies(shape, size).items()
        ]
        loss = weights.isotropic_residual(donor, norm, size)
        random.append(("residual", fraction, -1, loss))
        for side, length in zip(("left", "right"), shape, strict=True):
            chordal = unrelated_chordal(size, length)
            unrelated += [
                (f"{side}_chordal_distance", fraction, -1, chordal),
                (f"{side}_projection_distance", fraction, -1, math.sqrt(2 * size) * chordal),
            ]
    return [
        _row(name, against, *numbers)
        for against, found in (("random_change", random), ("unrelated", unrelated))
        for numbers in found
    ]


def diagnose_pair(
    donor_state: Mapping[str, Tensor],
    patient_state: Mapping[str, Tensor],
    donor_factors: Mapping[str, Factors],
    patient_factors: Mapping[str, Factors],
    fractions: Sequence[float],
) -> pd.DataFrame:
    """`matrix_rows` and `expected_rows` of every factorised matrix, as one long table.

    Args:
        donor_state: tensor name -> weight [out, in].
        patient_state: likewise.
        donor_factors: tensor name -> factors.
        patient_factors: likewise.
        fractions: shares of the rank whose top subspaces are compared.

    Raises:
        ValueError: the sides have factors of different matrices.
    """
    if set(donor_factors) != set(patient_factors):
        differing = sorted(set(donor_factors) ^ set(patient_factors))
        raise ValueError(f"factors of {differing[0]} are on one side alone, expected both sides")
    rows: list[dict[str, object]] = []
    for name, patient in patient_factors.items():
        donor, before, after = donor_factors[name], donor_state[name], patient_state[name]
        rows += matrix_rows(name, donor, patient, before, after, fractions)
        rows += expected_rows(name, donor, before, after, fractions)
    return pd.DataFrame(rows, columns=list(COLUMNS))


_Numbers = tuple[str, float, int, float]
"""metric, fraction, index, value"""


def _measured(
    donor: Factors,
    patient: Factors,
    donor_weight: Tensor,
    patient_weight: Tensor,
    fractions: Sequence[float],
) -> Iterator[_Numbers]:
    values = weights.change_values(donor_weight, patient_weight)
    for index, value in enumerate(values.tolist()):
        yield "change_value", math.nan, index, value
    yield "stable_rank", math.nan, -1, weights.stable_rank(values)
    sparsity = weights.update_sparsity(donor_weight, patient_weight)
    yield "update_sparsity", math.nan, -1, sparsity
    for fraction in fractions:
        size = _size(donor, fraction)
        for part, share in weights.energies(donor, donor_weight, patient_weight, size).items():
            yield f"energy_{part}", fraction, -1, share
        yield "residual", fraction, -1, weights.residual(donor, patient_weight, size)
        sides = {"left": (donor.u, patient.u), "right": (donor.v, patient.v)}
        for side, (before, after) in sides.items():
            before, after = before[:, :size], after[:, :size]
            angles = principal_angles(before, after)
            turned = vector_angles(before, after).rad2deg()
            found = {
                "chordal_distance": weights.chordal_distance(angles),
                "projection_distance": weights.projection_distance(angles),
                "column_alignment": weights.column_alignment(before, after),
                "direction_energy": weights.direction_energy(turned, donor.s[:size]),
            }
            for metric, number in found.items():
                yield f"{side}_{metric}", fraction, -1, number


def _row(
    name: str, against: str, metric: str, fraction: float, index: int, value: float
) -> dict[str, object]:
    layer, kind = matrix_kind(name) or (None, "other")
    numbers = (name, layer, kind, against, metric, fraction, index, value)
    return dict(zip(COLUMNS, numbers, strict=True))


def _size(donor: Factors, fraction: float) -> int:
    return max(1, round(fraction * donor.rank))

# SPDX-License-Identifier: MIT
"""The metrics of `derotate.diagnostics.weights` for a pair of checkpoints, with their nulls.

Rows have the columns of `derotate.spectral.rotation.spectra_rows`, with other metrics.
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
    """All metrics of one matrix as rows like those of `spectral.rotation.spectra_rows`.

    Args:
        name: tensor name, which gives layer and kind.
        donor: factors of `donor_weight`.
        patient: factors of `patient_weight`.
        donor_weight: W_b [out, in].
        patient_weight: W_t [out, in].
        fractions: shares of the rank (0 to 1); k is round(f * rank), at least one.
        against: `patient`, or the name of the null that W_t comes from.

    Returns:
        Rows with `COLUMNS`. `index` counts the singular values of dW (metric change_value) from 0
        and is -1 where a metric is one number. `fraction` is NaN where a metric has none.
        direction_energy is in degrees.
    """
    metrics = _metrics(donor, patient, donor_weight, patient_weight, fractions)
    return [_row(name, against, *metric) for metric in metrics]


def expected_rows(
    name: str,
    donor: Factors,
    donor_weight: Tensor,
    patient_weight: Tensor,
    fractions: Sequence[float],
) -> list[dict[str, object]]:
    """Expected values of one matrix in closed form; arguments and rows as in `matrix_rows`.

    `against` is `random_change`, an isotropic change of equal norm (also for the energies of
    `spectra_rows`), or `unrelated`, for distances of subspaces of unrelated weights of this shape,
    as the root of the expected square.
    """
    shape = (donor_weight.shape[0], donor_weight.shape[1])
    # Isotropic nulls depend on the change only by its norm.
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
        _row(name, against, *metric)
        for against, metrics in (("random_change", random), ("unrelated", unrelated))
        for metric in metrics
    ]


def diagnose_pair(
    donor_state: Mapping[str, Tensor],
    patient_state: Mapping[str, Tensor],
    donor_factors: Mapping[str, Factors],
    patient_factors: Mapping[str, Factors],
    fractions: Sequence[float],
) -> pd.DataFrame:
    """`matrix_rows` and `expected_rows` of each matrix with factors, as one long table.

    Args:
        donor_state: tensor name -> weight [out, in].
        patient_state: likewise.
        donor_factors: tensor name -> factors.
        patient_factors: likewise.
        fractions: shares of the rank whose top subspaces are compared.

    Raises:
        ValueError: donor and patient have factors of different matrices.
    """
    if set(donor_factors) != set(patient_factors):
        name = min(set(donor_factors) ^ set(patient_factors))
        raise ValueError(f"factors of {name}: only one checkpoint has them, expected both")
    rows: list[dict[str, object]] = []
    for name, patient in patient_factors.items():
        donor, before, after = donor_factors[name], donor_state[name], patient_state[name]
        rows += matrix_rows(name, donor, patient, before, after, fractions)
        rows += expected_rows(name, donor, before, after, fractions)
    return pd.DataFrame(rows, columns=list(COLUMNS))


_Metric = tuple[str, float, int, float]
"""metric, fraction, index, value"""


def _metrics(
    donor: Factors,
    patient: Factors,
    donor_weight: Tensor,
    patient_weight: Tensor,
    fractions: Sequence[float],
) -> Iterator[_Metric]:
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
            degrees = vector_angles(before, after).rad2deg()
            by_name = {
                "chordal_distance": weights.chordal_distance(angles),
                "projection_distance": weights.projection_distance(angles),
                "column_alignment": weights.column_alignment(before, after),
                "direction_energy": weights.direction_energy(degrees, donor.s[:size]),
            }
            for metric, value in by_name.items():
                yield f"{side}_{metric}", fraction, -1, value


def _row(
    name: str, against: str, metric: str, fraction: float, index: int, value: float
) -> dict[str, object]:
    layer, kind = matrix_kind(name) or (None, "other")
    numbers = (name, layer, kind, against, metric, fraction, index, value)
    return dict(zip(COLUMNS, numbers, strict=True))


def _size(donor: Factors, fraction: float) -> int:
    return max(1, round(fraction * donor.rank))

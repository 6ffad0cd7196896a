# SPDX-License-Identifier: MIT
"""Metrics of the change of singular values and vectors from a donor's weight to a patient's.

Metrics of raw_metrics_angle.py, released with arXiv 2509.12235, in float64 and
independent of the signs of vectors. Each needs a null to be interpreted: `derotate.spectral.nulls`
gives a random change of equal norm and unrelated matrices.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from derotate.config.matrix_kinds import matrix_kind
from derotate.spectral.angles import principal_angles, vector_angles
from derotate.spectral.distance import relative_norm
from derotate.spectral.factors import Factors

__all__ = [
    "donor_energy",
    "principal_angles",
    "spectra_rows",
    "value_change",
    "vector_angles",
]


def value_change(donor: Factors, patient: Factors) -> Tensor:
    """Relative change (s_t - s_b) / s_b of each singular value, [rank]; NaN where s_b is zero."""
    before, after = donor.s.to(torch.float64), patient.s.to(torch.float64)
    # NaN and not infinity: the tables' means skip NaN.
    return torch.where(before > 0, (after - before) / before, torch.nan)


def donor_energy(
    donor: Factors, donor_weight: Tensor, patient_weight: Tensor, size: int
) -> dict[str, float]:
    """Shares of ||dW||_F^2, dW = W_t - W_b, in the donor's top subspaces of `size` vectors.

    - inside: ||U_k^T dW V_k||^2 (in-subspace energy; rho_k of OPLoRA)
    - left: ||U_k^T dW||^2, right: ||dW V_k||^2
    - outside: ||(I - U_k U_k^T) dW (I - V_k V_k^T)||^2, outside the subspaces on both sides

    An isotropic change has inside = k^2 / (out * in). All are NaN where nothing changed.
    """
    u, v = (basis[:, :size].to(torch.float64) for basis in (donor.u, donor.v))
    change = patient_weight.to(torch.float64) - donor_weight.to(torch.float64)
    total = change.square().sum()
    rows, columns = u.T @ change, change @ v
    inside = (rows @ v).square().sum()
    left, right = rows.square().sum(), columns.square().sum()
    # The four blocks of dW in these bases are orthogonal, so their squared norms add up to total.
    outside = (total - left - right + inside).clamp_min(0.0)
    energies = {"inside": inside, "left": left, "right": right, "outside": outside}
    return {name: float(energy / total) for name, energy in energies.items()}


def spectra_rows(
    name: str,
    donor: Factors,
    patient: Factors,
    donor_weight: Tensor,
    patient_weight: Tensor,
    fractions: Sequence[float],
    *,
    against: str = "patient",
) -> list[dict[str, object]]:
    """All metrics of one matrix as rows of a long table.

    Args:
        name: tensor name, which gives layer and kind.
        donor: factors of `donor_weight`.
        patient: factors of `patient_weight`.
        donor_weight: W_b [out, in].
        patient_weight: W_t [out, in].
        fractions: shares of the rank (0 to 1) whose top subspaces are compared; round(f * rank)
            vectors, at least one.
        against: `patient`, or the name of the null that W_t comes from.

    Returns:
        Rows with matrix, layer, kind, against, metric, fraction, index, value. Angles are in
        degrees. `index` counts from 0: singular values and vectors from the largest value,
        principal angles from the smallest; -1 where a metric is one number. `fraction` is NaN
        where a metric has none. Metrics: donor_value, patient_value, value_change, left_angle and
        right_angle (single vectors), left_principal_angle, right_principal_angle, relative_norm,
        energy_inside, energy_left, energy_right, energy_outside.
    """
    layer, kind = matrix_kind(name) or (None, "other")
    rows: list[dict[str, object]] = []

    def add(metric: str, values: Tensor, fraction: float = float("nan"), start: int = 0) -> None:
        rows.extend(
            {
                "matrix": name,
                "layer": layer,
                "kind": kind,
                "against": against,
                "metric": metric,
                "fraction": fraction,
                "index": index,
                "value": value,
            }
            for index, value in enumerate(values.to(torch.float64).tolist(), start=start)
        )

    add("relative_norm", torch.tensor([relative_norm(donor_weight, patient_weight)]), start=-1)
    add("donor_value", donor.s)
    add("patient_value", patient.s)
    add("value_change", value_change(donor, patient))
    add("left_angle", vector_angles(donor.u, patient.u).rad2deg())
    add("right_angle", vector_angles(donor.v, patient.v).rad2deg())
    for fraction in fractions:
        # As `Band.size` rounds, but never empty: a subspace without vectors has no angles.
        size = max(1, round(fraction * donor.rank))
        left = principal_angles(donor.u[:, :size], patient.u[:, :size])
        right = principal_angles(donor.v[:, :size], patient.v[:, :size])
        add("left_principal_angle", left.rad2deg(), fraction)
        add("right_principal_angle", right.rad2deg(), fraction)
        for place, share in donor_energy(donor, donor_weight, patient_weight, size).items():
            add(f"energy_{place}", torch.tensor([share]), fraction, start=-1)
    return rows

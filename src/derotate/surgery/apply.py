# SPDX-License-Identifier: MIT
"""One recipe on a pair of checkpoints of any size: the matrices it edits and the edit of each.

Matrices are edited one at a time. Donor and patient are read from memory-mapped shards and are
decomposed only if the recipe needs their factors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.models.checkpoint import CheckpointError
from derotate.models.pair import CheckpointPair
from derotate.spectral.decompose import difference_view
from derotate.spectral.factor_sources import Sources
from derotate.spectral.factors import Decompose, Factors
from derotate.spectral.guards import (
    GuardError,
    Measured,
    law_distance,
    refuse_or_warn,
    relative_change,
)
from derotate.surgery.band_edits import edited_names
from derotate.surgery.edits import Change, change_norm, streamed_change

if TYPE_CHECKING:
    from derotate.config.surgery import Guards


@dataclass(frozen=True, eq=False)
class Surgery:
    """A recipe on a pair of checkpoints; `resolve` finds the matrices that it edits.

    Attributes:
        pair: donor and patient.
        recipe: the edit.
        names: tensors that the recipe edits, in the patient's order.
        sources: opens the factors of a matrix.
    """

    pair: CheckpointPair
    recipe: Recipe
    names: tuple[str, ...]
    sources: Sources

    @classmethod
    def resolve(cls, pair: CheckpointPair, recipe: Recipe, sources: Sources) -> Surgery:
        """Find the matrices that a recipe edits in the patient.

        Raises:
            CheckpointError: the recipe names a layer or a kind of matrix that the patient lacks, or
                a band wider than one of its matrices.
        """
        try:
            names = edited_names(recipe, pair.patient)
            for name in names:
                if recipe.band is not None:
                    recipe.band.size(min(pair.patient.places[name].shape))
        except ValueError as error:
            raise CheckpointError(f"{pair.patient.directory}: {error}") from None
        return cls(pair, recipe, tuple(names), sources)

    def with_recipe(self, recipe: Recipe) -> Surgery:
        """Another recipe on the same pair, its matrices resolved.

        Raises:
            CheckpointError: see `resolve`.
        """
        return self.resolve(self.pair, recipe, self.sources)

    def weights(self, name: str) -> tuple[Tensor, Tensor]:
        """The donor's and the patient's weight [out, in], memory-mapped."""
        return self.pair.donor[name], self.pair.patient[name]

    def changes(self, amount: float | None = None) -> Iterator[tuple[str, Change]]:
        """Stream (tensor name, change); both checkpoints must have passed the guards before.

        Args:
            amount: of a matched interpolation, in place of `recipe.amount`.
        """
        for name in self.names:
            weights = self.weights(name)
            # Open while the caller uses the change, whose blocks are computed from the factors.
            with self.sources(name, *weights) as decompose:
                yield name, streamed_change(self.recipe, name, *weights, decompose, amount)

    def donor_distance(self) -> float:
        """||W_t - W_b||_F over the edited matrices."""
        differences = (
            difference_view(self.pair.patient[name], self.pair.donor[name]) for name in self.names
        )
        return math.hypot(
            *(float(side.read(rows).norm()) for side in differences for rows in side.blocks())
        )

    def amount_of_norm(self, norm: float) -> float:
        """The amount at which an interpolation's change has this Frobenius norm.

        Above 1 where the norm exceeds the distance to the donor: such an interpolation passes it.

        Raises:
            CheckpointError: donor and patient are equal, so no amount reaches a norm above zero.
        """
        if norm == 0:
            return 0.0
        distance = self.donor_distance()
        if distance == 0:
            raise CheckpointError(
                f"{self.pair.patient.directory}: equal to {self.pair.donor.directory}, so no "
                f"interpolation has norm {norm:g}; give two different checkpoints"
            )
        return norm / distance


@dataclass(frozen=True)
class MatrixReport:
    """Per-matrix edit report.

    Attributes:
        matrix: name of the tensor.
        rank: of the change in a LoRA adapter; None in a checkpoint.
        edit_norm: ||delta||_F.
        cast_error: ||W' as stored - W'||_F / ||delta||_F; NaN without a change or without a cast.
        relative_change: ||W_t - W_b||_F / ||W_b||_F.
        donor_distance: Kolmogorov distance of the donor's spectrum to the Marchenko-Pastur law; NaN
            if the matrix was not decomposed.
        patient_distance: the same of the patient's spectrum.
    """

    matrix: str
    rank: int | None
    edit_norm: float
    cast_error: float
    relative_change: float
    donor_distance: float
    patient_distance: float


@dataclass(frozen=True, eq=False)
class Edit:
    """The edit of one matrix and its guard measurements.

    Attributes:
        name: of the tensor.
        weight: the patient's [out, in], memory-mapped.
        change: delta, what the recipe adds to the weight.
        donor: guard measurements of the donor's matrix.
        patient: those of the patient's, with its relative change from the donor's.
    """

    name: str
    weight: Tensor
    change: Change
    donor: Measured
    patient: Measured

    def report(self, rank: int | None, norm: float, cast_error: float) -> MatrixReport:
        """The report of this edit once it is written, with ||delta||_F and the loss of the cast."""
        return MatrixReport(
            matrix=self.name,
            rank=rank,
            edit_norm=norm,
            cast_error=cast_error,
            relative_change=self.patient.relative_change,
            donor_distance=self.donor.marchenko_pastur_distance,
            patient_distance=self.patient.marchenko_pastur_distance,
        )


def require_near(surgery: Surgery, guards: Guards) -> dict[str, Measured]:
    """Guard the patient's distance to the donor, matrix by matrix, before any decomposition.

    Returns:
        Tensor name -> measurement with the relative change.

    Raises:
        GuardError: a relative change exceeds the guard and `guards.action` is refuse.
    """
    measured = {}
    for name in surgery.names:
        donor, patient = surgery.weights(name)
        shape = (patient.shape[0], patient.shape[1])
        change = relative_change(donor, patient)
        measured[name] = Measured(name, shape, relative_change=change)
    refuse_or_warn(str(surgery.pair.patient.directory), list(measured.values()), guards)
    return measured


def guarded_edits(
    surgery: Surgery,
    guards: Guards,
    near: Mapping[str, Measured] | None = None,
    amount: float | None = None,
) -> Iterator[Edit]:
    """Stream the edits of a surgery; spectra are guarded as soon as they are known.

    Args:
        surgery: the recipe on its pair.
        guards: thresholds. A matrix with a random spectrum is refused when it is decomposed, the
            medians over all matrices at the end.
        near: measurements of `require_near`; without them relative changes are not guarded.
        amount: of a matched interpolation, in place of `recipe.amount`.

    Raises:
        GuardError: spectra look random and `guards.action` is refuse.
    """
    donors: list[Measured] = []
    patients: list[Measured] = []

    def recorded(edit: Edit) -> Edit:
        donors.append(edit.donor)
        patients.append(edit.patient)
        return edit

    for name in surgery.names:
        weights = surgery.weights(name)
        shape = (weights[1].shape[0], weights[1].shape[1])
        measured = near[name] if near is not None else Measured(name, shape)
        with surgery.sources(name, *weights) as decompose:
            # Not bound to a name: an edit must be freed before the next one is made.
            yield recorded(_edit(surgery, guards, decompose, weights, measured, amount))
    refuse_or_warn(str(surgery.pair.donor.directory), donors, guards)
    refuse_or_warn(str(surgery.pair.patient.directory), patients, guards)


def _edit(
    surgery: Surgery,
    guards: Guards,
    decompose: Decompose,
    weights: tuple[Tensor, Tensor],
    measured: Measured,
    amount: float | None,
) -> Edit:
    name = measured.matrix
    spectra: list[Tensor] = []

    def recorded(weight: Tensor) -> Factors:
        factors = decompose(weight)
        spectra.append(factors.s.clone())
        return factors

    change = streamed_change(surgery.recipe, name, *weights, recorded, amount)
    donor, patient = Measured(name, measured.shape), measured
    # `streamed_change` decomposes either both weights, the donor's first, or none.
    if spectra:
        donor, patient = (
            replace(side, marchenko_pastur_distance=law_distance(weights[1], values))
            for side, values in zip((donor, patient), spectra, strict=True)
        )
    for shards, side in ((surgery.pair.donor, donor), (surgery.pair.patient, patient)):
        if guards.action == "refuse" and (reason := side.failure(guards)):
            raise GuardError(f"{shards.directory}: {reason}")
    return Edit(name, weights[1], change, donor, patient)


def matched_amount(surgery: Surgery, reference: Recipe, guards: Guards) -> float:
    """The amount of an interpolation whose change has the norm of the reference recipe's, guarded.

    Raises:
        CheckpointError: the recipe matches a loss, which needs an evaluation; or donor and patient
            are equal.
        GuardError: see `require_near` and `guarded_edits`.
    """
    recipe = surgery.recipe
    if recipe.reference is None or recipe.reference[0] != "norm":
        raise CheckpointError(
            f"recipe {recipe.name}: match = {recipe.match} needs an evaluation, expected norm: "
            "here; give amount, or run the study"
        )
    other = surgery.with_recipe(reference)
    near = require_near(other, guards)
    # A generator: only one change at a time is in memory.
    norms = (change_norm(edit.change) for edit in guarded_edits(other, guards, near))
    return surgery.amount_of_norm(math.hypot(*norms))

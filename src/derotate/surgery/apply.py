# SPDX-License-Identifier: MIT
"""One recipe applied to checkpoints of any size: what is refused, and the edit of each matrix.

Matrix by matrix: the donor's and the patient's are read from their memory-mapped shards and
decomposed if the recipe asks for it. No more than one of them is worked on at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.models.checkpoint import CheckpointError
from derotate.models.pair import Operands
from derotate.spectral.decompose import tall_difference
from derotate.spectral.factor_sources import Sources
from derotate.spectral.factors import Factors
from derotate.spectral.guards import (
    GuardError,
    Measured,
    law_distance,
    refuse_or_warn,
    relative_change,
)
from derotate.surgery.band_edits import edited_names
from derotate.surgery.edits import Change, Decompose, change_norm, streamed_change

if TYPE_CHECKING:
    from derotate.config.surgery import Guards


@dataclass(frozen=True, eq=False)
class Edit:
    """The edit of one matrix, and what the guards saw of it on the way.

    Attributes:
        name: of the tensor.
        weight: the patient's, memory-mapped [out, in].
        change: what the recipe adds to it.
        donor: measured of the donor's matrix.
        patient: measured of the patient's, its relative change from the donor's with it.
    """

    name: str
    weight: Tensor
    change: Change
    donor: Measured
    patient: Measured


def names_to_edit(recipe: Recipe, pair: Operands) -> list[str]:
    """The tensors that the recipe edits, in the patient's order.

    Raises:
        CheckpointError: the recipe names a layer or a kind of matrix that is not there, or a band
            that does not fit.
    """
    try:
        names = edited_names(recipe, pair.patient)
        for name in names:
            if recipe.band is not None:
                recipe.band.size(min(pair.patient.places[name].shape))
    except ValueError as error:
        raise CheckpointError(f"{pair.patient.directory}: {error}") from None
    return names


def require_near(recipe: Recipe, pair: Operands, guards: Guards) -> dict[str, Measured]:
    """How far the patient's matrices are from the donor's, guarded before any decomposition.

    Raises:
        GuardError: one of them is further away than the guards allow and `guards.action` is refuse.
    """
    measured = {
        name: Measured(
            name,
            (pair.patient[name].shape[0], pair.patient[name].shape[1]),
            relative_change=relative_change(pair.donor[name], pair.patient[name]),
        )
        for name in names_to_edit(recipe, pair)
    }
    refuse_or_warn(str(pair.patient.directory), list(measured.values()), guards)
    return measured


def edits(
    recipe: Recipe,
    pair: Operands,
    guards: Guards,
    sources: Sources,
    changes: Mapping[str, Measured],
    amount: float | None = None,
) -> Iterator[Edit]:
    """The edits of the recipe's matrices, one at a time.

    Args:
        recipe: what to do.
        pair: whom to take from, whom to edit.
        guards: a matrix with a random spectrum is refused as soon as it is decomposed.
        sources: opened for each matrix, closed when its edit was used.
        changes: what `require_near` measured; only its matrices are edited.
        amount: of a matched interpolation.

    Raises:
        GuardError: spectra look random and `guards.action` is refuse.
    """
    sides: dict[str, list[Measured]] = {"donor": [], "patient": []}

    def noted(edit: Edit) -> Edit:
        sides["donor"].append(edit.donor)
        sides["patient"].append(edit.patient)
        return edit

    for near in changes.values():
        weights = pair.donor[near.matrix], pair.patient[near.matrix]
        with sources(near.matrix, *weights) as decompose:
            # not bound to a name here, so that it is freed before the next one is made
            yield noted(_edit(recipe, pair, guards, decompose, near, weights, amount))
    refuse_or_warn(str(pair.donor.directory), sides["donor"], guards)
    refuse_or_warn(str(pair.patient.directory), sides["patient"], guards)


def _edit(
    recipe: Recipe,
    pair: Operands,
    guards: Guards,
    decompose: Decompose,
    near: Measured,
    weights: tuple[Tensor, Tensor],
    amount: float | None,
) -> Edit:
    values: list[Tensor] = []

    def noted(weight: Tensor) -> Factors:
        factors = decompose(weight)
        values.append(factors.s.clone())
        return factors

    weight = weights[1]
    change = streamed_change(recipe, near.matrix, *weights, noted, amount)
    donor, patient = Measured(near.matrix, near.shape), near
    if values:
        donor, patient = (
            replace(side, marchenko_pastur_distance=law_distance(weight, found))
            for side, found in zip((donor, patient), values, strict=True)
        )
    for shards, row in ((pair.donor, donor), (pair.patient, patient)):
        if guards.action == "refuse" and (why := row.failure(guards)):
            raise GuardError(f"{shards.directory}: {why}")
    return Edit(near.matrix, weight, change, donor, patient)


def changes(
    recipe: Recipe, pair: Operands, sources: Sources, amount: float | None = None
) -> Iterator[tuple[str, Change]]:
    """Stream (tensor name, change) of the recipe's matrices; checkpoints were guarded before.

    Args:
        recipe: what to do.
        pair: whom to take from, whom to edit.
        sources: opened for each matrix, closed when its change was used.
        amount: of a matched interpolation.
    """
    for name in names_to_edit(recipe, pair):
        weights = pair.donor[name], pair.patient[name]
        with sources(name, *weights) as decompose:
            yield name, streamed_change(recipe, name, *weights, decompose, amount)


def matched_amount(
    recipe: Recipe, matched: Recipe, pair: Operands, guards: Guards, sources: Sources
) -> float:
    """The amount of an interpolation whose change has the norm of another recipe's, guarded.

    Raises:
        CheckpointError: the loss is to be matched, which needs an evaluation; or donor and patient
            are equal.
        GuardError: see `require_near` and `edits`.
    """
    if recipe.reference is None or recipe.reference[0] != "norm":
        raise CheckpointError(
            f"recipe {recipe.name}: match = {recipe.match} needs an evaluation, expected norm: "
            "here; give amount, or run the study"
        )
    near = require_near(matched, pair, guards)
    norms = (change_norm(edit.change) for edit in edits(matched, pair, guards, sources, near))
    return amount_of_norm(math.hypot(*norms), recipe, pair)


def amount_of_norm(target: float, recipe: Recipe, pair: Operands) -> float:
    """The amount of an interpolation whose change has the Frobenius norm `target`.

    Above 1 where the target exceeds the distance to the donor: such an interpolation passes it.

    Raises:
        CheckpointError: donor and patient are equal, so that no amount reaches a norm above zero.
    """
    if target == 0:
        return 0.0
    distance = donor_distance(recipe, pair)
    if distance == 0:
        raise CheckpointError(
            f"{pair.patient.directory}: equal to {pair.donor.directory}, so that no interpolation "
            f"has the norm {target:g}; give different checkpoints"
        )
    return target / distance


def donor_distance(recipe: Recipe, pair: Operands) -> float:
    """||W_t - W_b||_F over the matrices that the recipe edits."""
    sides = (
        tall_difference(pair.patient[name], pair.donor[name])
        for name in names_to_edit(recipe, pair)
    )
    return math.hypot(*(float(side.read(rows).norm()) for side in sides for rows in side.blocks()))

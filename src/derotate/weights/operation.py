# SPDX-License-Identifier: MIT
"""One recipe applied to checkpoints of any size: what is refused, and the edit of each matrix.

Matrix by matrix: the donor's and the patient's are read from their memory-mapped shards and
decomposed if the recipe asks for it. No more than one of them is worked on at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from derotate.checkpoints import CheckpointError
from derotate.spectral.changes import Change, streamed_change
from derotate.spectral.factor_cache import FactorCache
from derotate.spectral.guards import GuardError
from derotate.spectral.recipes import Recipe
from derotate.spectral.stream import tall, tall_difference
from derotate.spectral.surgery import edited_names
from derotate.spectral.svd import Factors
from derotate.weights.compatible import module_names, require_same_model
from derotate.weights.guards import Measured, law_distance, refusals, relative_change
from derotate.weights.shards import Shards, open_shards, require_finite

if TYPE_CHECKING:
    from derotate.settings import Guards

Caches = Callable[[], AbstractContextManager[FactorCache]]
"""Opens the cache that the factors of one matrix go to."""


@dataclass(frozen=True, eq=False)
class Operands:
    """Donor and patient, found to be two checkpoints of one model.

    Attributes:
        donor: what is taken from.
        patient: what is edited.
        parameters: name of each tensor -> of the model's parameter, once it is loaded.
    """

    donor: Shards
    patient: Shards
    parameters: Mapping[str, str]


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


def open_pair(donor: Path, patient: Path) -> Operands:
    """Open donor and patient behind all refusals that need no decomposition.

    Raises:
        CheckpointError: one line; see `open_shards`, `require_same_model`, `module_names` and
            `require_finite`.
    """
    sides = open_shards(donor), open_shards(patient)
    require_same_model(*sides)
    parameters = module_names(sides[1])
    for side in sides:
        require_finite(side)
    return Operands(*sides, parameters)


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
    _refuse(pair.patient.directory, list(measured.values()), guards)
    return measured


def edits(
    recipe: Recipe,
    pair: Operands,
    guards: Guards,
    caches: Caches,
    changes: Mapping[str, Measured],
    amount: float | None = None,
) -> Iterator[Edit]:
    """The edits of the recipe's matrices, one at a time.

    Args:
        recipe: what to do.
        pair: whom to take from, whom to edit.
        guards: a matrix with a random spectrum is refused as soon as it is decomposed.
        caches: opened for each matrix, closed when its edit was used.
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
        with caches() as cache:
            # not bound to a name here, so that it is freed before the next one is made
            yield noted(_edit(recipe, pair, guards, cache, near, amount))
    _refuse(pair.donor.directory, sides["donor"], guards)
    _refuse(pair.patient.directory, sides["patient"], guards)


def _edit(
    recipe: Recipe,
    pair: Operands,
    guards: Guards,
    cache: FactorCache,
    near: Measured,
    amount: float | None,
) -> Edit:
    values: list[Tensor] = []

    def decompose(weight: Tensor) -> Factors:
        factors = cache.factors(weight)
        values.append(factors.s.clone())
        return factors

    donor_weight, weight = pair.donor[near.matrix], pair.patient[near.matrix]
    change = streamed_change(recipe, near.matrix, donor_weight, weight, decompose, amount)
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


def matched_amount(
    recipe: Recipe, matched: Recipe, pair: Operands, guards: Guards, caches: Caches
) -> float:
    """The amount of an interpolation whose change has the norm of another recipe's.

    Raises:
        CheckpointError: the loss is to be matched, which needs an evaluation; or donor and patient
            are equal.
    """
    if recipe.reference is None or recipe.reference[0] != "norm":
        raise CheckpointError(
            f"recipe {recipe.name}: match = {recipe.match} needs an evaluation, expected norm: "
            "here; give amount, or run the study"
        )
    near = require_near(matched, pair, guards)
    target = sum(map(_square, edits(matched, pair, guards, caches, near))) ** 0.5
    distance = sum(_distance_square(pair, name) for name in names_to_edit(recipe, pair)) ** 0.5
    if distance == 0:
        raise CheckpointError(
            f"{pair.patient.directory}: equal to {pair.donor.directory}, so that no interpolation "
            f"has the norm of {matched.name}; give different checkpoints"
        )
    return target / distance


def _square(edit: Edit) -> float:
    if edit.change.thin is not None:
        return edit.change.thin.norm**2
    blocks = tall(edit.weight).blocks()
    return float(sum(edit.change.block(rows).double().square().sum() for rows in blocks))


def _distance_square(pair: Operands, name: str) -> float:
    difference = tall_difference(pair.patient[name], pair.donor[name])
    return float(sum(difference.read(rows).square().sum() for rows in difference.blocks()))


def _refuse(directory: Path, measured: list[Measured], guards: Guards) -> None:
    failed = refusals(str(directory), measured, guards)
    if failed and guards.action == "refuse":
        raise GuardError("; ".join(failed))
    for line in failed:
        logging.warning(line)

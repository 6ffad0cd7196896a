# SPDX-License-Identifier: MIT
"""Evaluation of surgery variants: the patient plus a recipe's edit, in memory only."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from derotate import checkpoints
from derotate.device import fastest
from derotate.evaluation import Item, reference_losses
from derotate.spectral.guards import GuardError, loss_difference
from derotate.spectral.recipes import Recipe
from derotate.spectral.surgery import (
    edit_norm,
    edited_names,
    edited_weights,
    interpolation_for_loss,
    interpolation_for_norm,
)
from derotate.spectral.svd import Factors, load_factors
from derotate.stages.data import write_text
from derotate.stages.evaluate import evaluate_model, items

if TYPE_CHECKING:
    from derotate.settings import Evaluation, Guards

State = Mapping[str, torch.Tensor]

CHECKED = 64
"""Problems whose losses tell whether the loaded patient is the one that was evaluated."""


@dataclass(frozen=True)
class Operation:
    """Donor and patient of a surgery: their weights and the factors of their matrices."""

    donor: State
    patient: State
    donor_factors: Mapping[str, Factors]
    patient_factors: Mapping[str, Factors]

    @property
    def sides(self) -> tuple[State, State, Mapping[str, Factors], Mapping[str, Factors]]:
        """In the order that the spectral core takes them."""
        return self.donor, self.patient, self.donor_factors, self.patient_factors

    @classmethod
    def read(
        cls, donor: Path, patient: Path, donor_factors: Path, patient_factors: Path
    ) -> Operation:
        """From two checkpoint directories and their cached factors."""
        return cls(
            checkpoints.load_state(donor),
            checkpoints.load_state(patient),
            load_factors(donor_factors),
            load_factors(patient_factors),
        )


def operate(model: Any, operation: Operation, recipe: Recipe, amount: float | None = None) -> float:
    """Set the patient's weights in `model` and add the recipe's edit, in place.

    Returns:
        The Frobenius norm of the edit over all edited matrices.
    """
    model.load_state_dict(dict(operation.patient), strict=False)
    parameters = dict(model.named_parameters())
    square = 0.0
    with torch.no_grad():
        for name, weight, change in edited_weights(recipe, *operation.sides, amount=amount):
            parameters[name].copy_(weight)
            square += float(change.double().square().sum())
    return square**0.5


def matched_amount(
    model: Any, tokenizer: Any, operation: Operation, recipe: Recipe, matched: Recipe,
    known: list[Item],
) -> float | None:  # fmt: skip
    """The amount of an interpolation that equals another recipe in norm or in ID loss.

    Returns:
        None where no amount in 0..1 has that loss: then there is no such control.
    """
    if recipe.reference is None:
        raise ValueError(f"recipe {recipe.name}: has no match, expected norm: or id_loss:")
    if recipe.reference[0] == "norm":
        target = edit_norm(matched, *operation.sides)
        names = edited_names(recipe, operation.patient)
        return interpolation_for_norm(target, operation.donor, operation.patient, names)
    id_items = [item for item in known if (item.split, item.fold) == ("id", "selection")]

    def loss_of(edit: Recipe, amount: float | None) -> float:
        operate(model, operation, edit, amount)
        losses = reference_losses(model, tokenizer, id_items)
        return sum(losses) / len(losses)

    return interpolation_for_loss(lambda amount: loss_of(recipe, amount), loss_of(matched, None))


def evaluate_variant(
    task: str,
    *,
    style: str,
    recipe: Recipe,
    matched: Recipe | None,
    checkpoint: Path,
    recorded: Path,
    guards: Guards,
    operation: Operation,
    problems: Path,
    settings: Evaluation,
    seed: int,
    parquet: Path,
    csv: Path,
    facts: Path,
) -> None:
    """Make a variant in memory, score it, and write its rows and the facts of the edit.

    The facts are the edit's norm, the distance of donor and patient over the edited matrices, how
    far the variant is from a rollback of the same matrices, the amount of an interpolation, and how
    far the loaded patient's losses were from those that its own evaluation (`recorded`) has.

    Raises:
        GuardError: the patient does not reproduce its evaluation and `guards.action` is refuse.
    """
    model, tokenizer = checkpoints.load(checkpoint, device=fastest())
    known = items(task, style, problems)
    reproduced = _reproduced(model, tokenizer, known, recorded, guards)
    amount = recipe.amount
    if matched is not None:
        amount = matched_amount(model, tokenizer, operation, recipe, matched, known)
    impossible = matched is not None and amount is None
    # Where no interpolation has the loss asked for, the nearest end stands in and is marked.
    norm = operate(model, operation, recipe, 1.0 if impossible else amount)
    distance, from_rollback = _distances(model, operation, recipe)
    evaluate_model(model, tokenizer, known, settings, seed, parquet, csv)
    write_text(
        facts,
        json.dumps(
            {
                "recipe": recipe.name,
                "part": recipe.part,
                "amount": 1.0 if impossible else amount,
                "matched": not impossible if matched is not None else None,
                "edit_norm": float(f"{norm:.6g}"),
                "donor_distance": float(f"{distance:.6g}"),
                "from_rollback": float(f"{from_rollback:.6g}"),
                "patient_loss_difference": float(f"{reproduced:.1g}"),
            },
            indent=2,
        )
        + "\n",
    )


def _reproduced(
    model: Any, tokenizer: Any, known: list[Item], recorded: Path, guards: Guards
) -> float:
    """How far the losses of the first problems are from the recorded ones, guarded."""
    rows = pd.read_parquet(recorded, columns=["problem", "decoding", "loss"])
    rows = rows[rows["decoding"] == "greedy"][:CHECKED]
    asked = known[: len(rows)]
    if [item.problem for item in asked] != rows["problem"].tolist():
        raise GuardError(f"{recorded}: rows of other problems; delete the file to evaluate again")
    losses = reference_losses(model, tokenizer, asked)
    difference = loss_difference(losses, rows["loss"].tolist())
    if not difference <= guards.recorded_loss:  # NaN is no match either
        line = (
            f"{recorded}: the loaded model's losses differ by {difference:.3g} nats from those "
            f"recorded here, expected at most {guards.recorded_loss:g}; check that the weights are "
            "those that were evaluated"
        )
        if guards.action == "refuse":
            raise GuardError(line)
        logging.warning(line)
    return difference


def _distances(model: Any, operation: Operation, recipe: Recipe) -> tuple[float, float]:
    """||W_t - W_b|| and ||W' - W_b|| over the edited matrices."""
    parameters = dict(model.named_parameters())
    donor_patient = variant_donor = 0.0
    for name in edited_names(recipe, operation.patient):
        donor = operation.donor[name].double()
        donor_patient += float((operation.patient[name].double() - donor).square().sum())
        variant_donor += float((parameters[name].detach().double() - donor).square().sum())
    return donor_patient**0.5, variant_donor**0.5

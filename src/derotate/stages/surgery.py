# SPDX-License-Identifier: MIT
"""Evaluation of surgery variants: the loaded patient, edited matrix by matrix, written nowhere."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from derotate.config.recipes import Recipe
from derotate.evaluation.evaluate import Item, reference_losses
from derotate.models import checkpoint as checkpoints
from derotate.models.device import fastest
from derotate.models.pair import Operands, open_scanned
from derotate.spectral.factor_sources import Sources, stored
from derotate.spectral.factors import load_factors
from derotate.spectral.guards import GuardError, loss_difference
from derotate.stages.data import write_text
from derotate.stages.evaluate import evaluate_model, items
from derotate.surgery.apply import amount_of_norm, changes, donor_distance
from derotate.surgery.band_edits import interpolation_for_loss
from derotate.surgery.edits import change_norm
from derotate.surgery.in_memory import distance_from_donor, set_variant

if TYPE_CHECKING:
    from derotate.config.evaluation import Evaluation
    from derotate.config.surgery import Guards

CHECKED = 64
"""Problems whose losses tell whether the loaded patient is the one that was evaluated."""


@dataclass(frozen=True)
class Operation:
    """Donor and patient of a surgery, and where the factors of their matrices come from."""

    pair: Operands
    sources: Sources

    @classmethod
    def read(
        cls, donor: Path, patient: Path, donor_factors: Path, patient_factors: Path, passing: Path
    ) -> Operation:
        """From two checkpoint directories and their cached factors; nothing of them is in memory.

        The rule that made the factors has refused numbers that are not finite.

        Args:
            donor: its directory.
            patient: its directory.
            donor_factors: file of the donor's factors.
            patient_factors: of the patient's.
            passing: folder for the factors of a matrix that the files lack; removed after use.

        Raises:
            CheckpointError: see `open_scanned`.
        """
        known = load_factors(donor_factors), load_factors(patient_factors)
        return cls(open_scanned(donor, patient), stored(*known, passing))


def operate(model: Any, operation: Operation, recipe: Recipe, amount: float | None = None) -> float:
    """Make the loaded patient a variant, in place, whatever variant it was before.

    Returns:
        The Frobenius norm of the edit over all edited matrices.
    """
    return set_variant(model, operation.pair, recipe, operation.sources, amount)


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
        made = changes(matched, operation.pair, operation.sources)
        target = math.hypot(*(change_norm(change) for _, change in made))
        return amount_of_norm(target, recipe, operation.pair)
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
    """Make a variant of the loaded patient, score it, and write its rows and the facts of the edit.

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
    distance = donor_distance(recipe, operation.pair)
    from_rollback = distance_from_donor(model, operation.pair, recipe)
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

# SPDX-License-Identifier: MIT
"""Evaluation of surgery variants: the loaded patient, edited in memory and never written."""

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
from derotate.files.atomic import atomic_write_text
from derotate.models import checkpoint as checkpoints
from derotate.models.device import fastest
from derotate.models.pair import open_compatible
from derotate.spectral.factor_sources import stored
from derotate.spectral.factors import load_factors
from derotate.spectral.guards import GuardError, loss_difference
from derotate.stages.evaluate import EvaluationJob, evaluate_model
from derotate.surgery.apply import Surgery
from derotate.surgery.band_edits import Match, interpolation_for_loss
from derotate.surgery.edits import change_norm
from derotate.surgery.in_memory import distance_from_donor, set_variant

if TYPE_CHECKING:
    from derotate.config.surgery import Guards

PROBED = 64
"""Problems whose losses must agree with the patient's own evaluation."""


@dataclass(frozen=True)
class SurgeryJob:
    """One surgery variant: recipe, donor, patient, and the files of its evaluation.

    Attributes:
        recipe: the edit.
        matched: the recipe that an interpolation is matched to, if any.
        donor: directory of a checkpoint.
        factors: files with the donor's and the patient's factors.
        recorded: Parquet rows of the patient's own evaluation.
        guards: thresholds, and whether a failed guard refuses or warns.
        evaluation: of the variant; its checkpoint is the patient.
        facts: JSON file of the edit's numbers.
    """

    recipe: Recipe
    matched: Recipe | None
    donor: Path
    factors: tuple[Path, Path]
    recorded: Path
    guards: Guards
    evaluation: EvaluationJob
    facts: Path

    def surgery(self) -> Surgery:
        """The recipe on its pair; no weight is read yet.

        The rule that made the factors has refused weights that are not finite.

        Raises:
            CheckpointError: see `open_compatible` and `Surgery.resolve`.
        """
        donor_factors, patient_factors = map(load_factors, self.factors)
        # For the factors of matrices that the files lack, as the embedding's.
        temporary = self.facts.with_suffix(".factors")
        sources = stored(donor_factors, patient_factors, temporary)
        pair = open_compatible(self.donor, self.evaluation.checkpoint)
        return Surgery.resolve(pair, self.recipe, sources)


def matched_amount(
    model: Any, tokenizer: Any, surgery: Surgery, matched: Recipe, items: list[Item]
) -> Match:
    """The amount of an interpolation that equals another recipe in edit norm or in ID loss.

    Args:
        model: the loaded patient; it may hold any variant afterwards.
        tokenizer: of the patient.
        surgery: the interpolation on its pair.
        matched: the recipe that it is matched to.
        items: the study's problems; losses are those of the ID selection fold.

    Returns:
        Not exact where no amount in 0..1 has that loss: then the end whose loss is nearer.
    """
    recipe = surgery.recipe
    if recipe.reference is None:
        raise ValueError(f"recipe {recipe.name}: has no match, expected norm: or id_loss:")
    other = surgery.with_recipe(matched)
    if recipe.reference[0] == "norm":
        norm = math.hypot(*(change_norm(change) for _, change in other.changes()))
        return Match(surgery.amount_of_norm(norm))
    # Selection fold: a match by the test fold would fit the control to what it is compared on.
    id_items = [item for item in items if (item.split, item.fold) == ("id", "selection")]

    def loss_of(variant: Surgery, amount: float | None = None) -> float:
        set_variant(model, variant, amount)
        losses = reference_losses(model, tokenizer, id_items)
        return sum(losses) / len(losses)

    return interpolation_for_loss(lambda amount: loss_of(surgery, amount), loss_of(other))


def evaluate_variant(job: SurgeryJob) -> None:
    """Make the loaded patient a variant, evaluate it, and write its rows and the edit's facts.

    Facts: norm of the edit, distance of donor and patient over the edited matrices, distance of the
    variant from a rollback of these matrices, amount of an interpolation, and the difference of the
    loaded patient's losses to those of its own evaluation.

    Raises:
        GuardError: the patient does not reproduce its evaluation and `guards.action` is refuse.
    """
    surgery = job.surgery()
    model, tokenizer = checkpoints.load(job.evaluation.checkpoint, device=fastest())
    items = job.evaluation.items()
    reproduced = _reproduced(model, tokenizer, items, job.recorded, job.guards)
    match = None
    if job.matched is not None:
        match = matched_amount(model, tokenizer, surgery, job.matched, items)
    amount = match.amount if match else job.recipe.amount
    norm = set_variant(model, surgery, amount)
    distance = surgery.donor_distance()
    # Before the evaluation: an engine may take the model off the GPU.
    from_rollback = distance_from_donor(model, surgery)
    evaluate_model(model, tokenizer, items, job.evaluation)
    facts = {
        "recipe": job.recipe.name,
        "part": job.recipe.part,
        "amount": amount,
        "matched": match.exact if match else None,
        "edit_norm": float(f"{norm:.6g}"),
        "donor_distance": float(f"{distance:.6g}"),
        "from_rollback": float(f"{from_rollback:.6g}"),
        "patient_loss_difference": float(f"{reproduced:.1g}"),
    }
    atomic_write_text(job.facts, json.dumps(facts, indent=2) + "\n")


def _reproduced(
    model: Any, tokenizer: Any, items: list[Item], recorded: Path, guards: Guards
) -> float:
    """Largest difference of the first problems' losses to the recorded ones (nats), guarded."""
    rows = pd.read_parquet(recorded, columns=["problem", "decoding", "loss"])
    rows = rows[rows["decoding"] == "greedy"][:PROBED]
    probed = items[: len(rows)]
    if [item.problem for item in probed] != rows["problem"].tolist():
        raise GuardError(f"{recorded}: rows of other problems; delete the file to evaluate again")
    losses = reference_losses(model, tokenizer, probed)
    difference = loss_difference(losses, rows["loss"].tolist())
    # `not <=` and not `>`: NaN must fail too.
    if not difference <= guards.recorded_loss:
        line = (
            f"{recorded}: the loaded model's losses differ by {difference:.3g} nats from those "
            f"recorded here, expected at most {guards.recorded_loss:g}; check that the weights are "
            "those that were evaluated"
        )
        if guards.action == "refuse":
            raise GuardError(line)
        logging.warning(line)
    return difference

# SPDX-License-Identifier: MIT
"""One live surgery: the patient before and after it, and two controls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch

from derotate.analysis.clustered_intervals import Estimate, clustered_mean, paired_difference
from derotate.config.recipes import Recipe
from derotate.evaluation.evaluate import Decoding, Item, evaluate, reference_losses, respond
from derotate.explore.pair import SUITES, Pair
from derotate.models import checkpoint as checkpoints
from derotate.models.pair import open_pair
from derotate.spectral.factor_sources import cached
from derotate.stages.evaluate import items
from derotate.stages.surgery import matched_amount
from derotate.surgery.apply import Surgery, guarded_edits
from derotate.surgery.in_memory import set_variant


@dataclass(frozen=True)
class Trial:
    """A model in memory with its distance from the patient and its evaluation.

    Attributes:
        name: `patient`, the recipe's name, `rollback`, `interpolation` or `donor`.
        norm: Frobenius norm of the change over the edited matrices, divided by the distance of
            donor and patient over them; 0 for the patient.
        rows: greedy responses, with the columns of `evaluation.evaluate`.
        seconds: time of editing and evaluation.
    """

    name: str
    norm: float
    rows: pd.DataFrame
    seconds: float

    def accuracy(self, split: str, fold: str) -> Estimate:
        """Accuracy in percent, clustered by the unit of hold-out."""
        own = self.rows[(self.rows["split"] == split) & (self.rows["fold"] == fold)]
        return clustered_mean(own["correct"], own["cluster"], support=(0.0, 1.0)).scaled(100)

    def minus(self, other: Trial, split: str, fold: str) -> Estimate:
        """Difference of accuracy in points, paired by problem, clustered likewise."""
        own, others = (
            rows[(rows["split"] == split) & (rows["fold"] == fold)]
            for rows in (self.rows, other.rows)
        )
        return paired_difference(own, others, on=("split", "fold", "problem")).scaled(100)


def controls_for(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """Rollback and interpolation of the matrices that the recipe edits, by name."""
    target: dict[str, Any] = {"layers": recipe.layers, "matrices": recipe.matrices}
    match = f"norm:{recipe.name}"
    controls = [
        ("rollback", Recipe(name="rollback", part="rollback", **target)),
        ("interpolation", Recipe(name="interpolation", part="interpolate", match=match, **target)),
    ]
    return [(name, control) for name, control in controls if recipe.part != control.part]


def trials(pair: Pair, recipe: Recipe, *, style: str, with_donor: bool) -> Iterator[Trial]:
    """Evaluate the patient, its edit, the controls and, with `with_donor`, the donor.

    Raises:
        CheckpointError, GuardError: an unusable checkpoint, or two of different models.
    """
    model, tokenizer = checkpoints.load(pair.patient, dtype=torch.float32)
    known = [item for item in items(pair.config.task, style, pair.problems)
             if (item.split, item.fold) in SUITES]  # fmt: skip

    def evaluated(name: str, edit: Callable[[], float], model: Any = model) -> Trial:
        start = time.monotonic()
        norm = edit() / distance if distance else 0.0
        rows = _evaluate(model, tokenizer, known, pair)
        return Trial(name, norm, rows, time.monotonic() - start)

    with TemporaryDirectory() as folder:
        surgery = prepare(pair, recipe, Path(folder))
        distance = surgery.donor_distance()
        yield evaluated("patient", lambda: 0.0)
        yield evaluated(recipe.name, partial(set_variant, model, surgery))
        for name, control in controls_for(recipe):
            other, amount = surgery.with_recipe(control), None
            if control.reference:
                amount = matched_amount(model, tokenizer, other, recipe, known).amount
            yield evaluated(name, partial(set_variant, model, other, amount))
    if with_donor:
        yield evaluated(
            "donor", lambda: distance, checkpoints.load(pair.donor, dtype=torch.float32)[0]
        )


def prepare(pair: Pair, recipe: Recipe, folder: Path) -> Surgery:
    """The recipe resolved on the pair and guarded; its factors are cached in `folder`.

    Raises:
        CheckpointError: two different models, or a model that the recipe cannot edit.
        GuardError: spectra look like random weights, and the config has `guards.action: refuse`.
    """
    sources = cached(folder, folder / "passing")
    surgery = Surgery.resolve(open_pair(pair.donor, pair.patient), recipe, sources)
    for _ in guarded_edits(surgery, pair.config.guards):
        pass  # Decomposed, cached and guarded.
    return surgery


def _evaluate(model: Any, tokenizer: Any, known: list[Item], pair: Pair) -> pd.DataFrame:
    settings = pair.config.evaluation
    limits = Decoding(settings.max_new_tokens, settings.batch_size)
    losses = reference_losses(model, tokenizer, known)
    return evaluate(partial(respond, model, tokenizer), known, losses, greedy=limits)

# SPDX-License-Identifier: MIT
"""One surgery done on the spot: the patient before and after, beside two controls of its size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from derotate import checkpoints
from derotate.evaluation import Decoding, Item, evaluate
from derotate.evidence.statistics import Estimate, clustered_mean, paired_difference
from derotate.explore.pair import SUITES, Pair, PairError
from derotate.spectral.guards import GuardError, failures, measure
from derotate.spectral.recipes import Recipe
from derotate.spectral.surgery import edited_names
from derotate.spectral.svd import Factors, factorise
from derotate.stages.evaluate import items
from derotate.stages.surgery import Operation, matched_amount, operate

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Trial:
    """A model in memory: what it is, how far it is from the patient, how it answered.

    Attributes:
        name: `patient`, the recipe's name, `rollback`, `interpolation` or `donor`.
        norm: Frobenius norm of its change over the edited matrices, as a share of the distance of
            donor and patient over them; 0 for the patient.
        rows: greedy answers, as `evaluation.evaluate` gives them.
        seconds: what making and asking it took.
    """

    name: str
    norm: float
    rows: pd.DataFrame
    seconds: float

    def accuracy(self, split: str, fold: str) -> Estimate:
        """Share of problems solved in percent, clustered by the unit of hold-out."""
        own = self.rows[(self.rows["split"] == split) & (self.rows["fold"] == fold)]
        return clustered_mean(own["correct"], own["cluster"], support=(0.0, 1.0)).scaled(100)

    def minus(self, other: Trial, split: str, fold: str) -> Estimate:
        """Difference of accuracy in points on the same problems, clustered likewise."""
        own, others = (
            rows[(rows["split"] == split) & (rows["fold"] == fold)]
            for rows in (self.rows, other.rows)
        )
        return paired_difference(own, others, on=("split", "fold", "problem")).scaled(100)


def controls_for(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """Rollback and interpolation of the matrices that the recipe edits, with their names."""
    place: dict[str, Any] = {"layers": recipe.layers, "matrices": recipe.matrices}
    match = f"norm:{recipe.name}"
    controls = [
        ("rollback", Recipe(name="rollback", part="rollback", **place)),
        ("interpolation", Recipe(name="interpolation", part="interpolate", match=match, **place)),
    ]
    return [(name, control) for name, control in controls if recipe.part != control.part]


def trials(pair: Pair, recipe: Recipe, *, style: str, with_donor: bool) -> Iterator[Trial]:
    """Make and ask the patient, the recipe's edit, its controls and, if asked, the donor.

    Raises:
        CheckpointError, GuardError: a checkpoint must not be used.
        PairError: donor and patient are of different architectures.
    """
    model, tokenizer = checkpoints.load(pair.patient, dtype=torch.float32)
    known = [item for item in items(pair.config.task, style, pair.problems)
             if (item.split, item.fold) in SUITES]  # fmt: skip
    operation = prepare(pair, recipe)
    distance = _distance(operation, edited_names(recipe, operation.patient))

    def asked(name: str, make: Callable[[], float], model: Any = model) -> Trial:
        start = time.monotonic()
        norm = make() / distance if distance else 0.0
        rows = _ask(model, tokenizer, known, pair)
        return Trial(name, norm, rows, time.monotonic() - start)

    yield asked("patient", lambda: 0.0)
    yield asked(recipe.name, partial(operate, model, operation, recipe))
    for name, control in controls_for(recipe):
        amount = None
        if control.reference:
            amount = matched_amount(model, tokenizer, operation, control, recipe, known)
        yield asked(name, partial(operate, model, operation, control, amount))
    if with_donor:
        yield asked("donor", lambda: distance, checkpoints.load(pair.donor, dtype=torch.float32)[0])


def prepare(pair: Pair, recipe: Recipe) -> Operation:
    """Donor and patient in float32, with the decompositions that the recipe needs, guarded.

    Raises:
        GuardError: spectra look like random weights, and the pair's config refuses such.
        PairError: the two are not of one architecture that recipes can edit.
    """
    states: dict[str, State] = {}
    factors: dict[str, dict[str, Factors]] = {}
    for role, folder in pair.sides.items():
        stored = checkpoints.load_state(folder)
        state = {name: tensor.to(torch.float32) for name, tensor in stored.items()}
        names = _edited(recipe, state, folder) if recipe.needs_factors else []
        states[role], factors[role] = state, {name: factorise(state[name]) for name in names}
        if names:
            _guard(folder, factors[role], state, pair)
    _same_shapes(pair, recipe, states["donor"], states["patient"])
    return Operation(states["donor"], states["patient"], factors["donor"], factors["patient"])


def _edited(recipe: Recipe, state: State, folder: Path) -> list[str]:
    try:
        return edited_names(recipe, state)
    except ValueError as error:
        raise PairError(f"{folder}: {error}") from None


def _same_shapes(pair: Pair, recipe: Recipe, donor: State, patient: State) -> None:
    for name in _edited(recipe, patient, pair.patient):
        shape = list(donor[name].shape) if name in donor else "missing"
        if shape != list(patient[name].shape):
            raise PairError(
                f"tensor {name}: {shape} in {pair.donor}, expected {list(patient[name].shape)} as "
                f"in {pair.patient}; give two checkpoints of one model"
            )


def _guard(folder: Path, factors: Mapping[str, Factors], state: State, pair: Pair) -> None:
    failed = failures(str(folder), measure(factors, state, None), pair.config.guards)
    if failed and pair.config.guards.action == "refuse":
        raise GuardError("; ".join(failed))


def _ask(model: Any, tokenizer: Any, known: list[Item], pair: Pair) -> pd.DataFrame:
    settings = pair.config.evaluation
    limits = Decoding(settings.max_new_tokens, settings.batch_size)
    return evaluate(model, tokenizer, known, greedy=limits)


def _distance(operation: Operation, names: list[str]) -> float:
    square = sum(
        float((operation.patient[name].double() - operation.donor[name].double()).square().sum())
        for name in names
    )
    return square**0.5

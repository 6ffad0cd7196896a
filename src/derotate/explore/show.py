# SPDX-License-Identifier: MIT
"""`derotate explore`: apply a recipe, print the results, write the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console
from transformers.utils import logging as transformers_logging

from derotate import tasks
from derotate.explore import page, words
from derotate.explore.live import Trial, trials
from derotate.explore.pair import Pair, PairError, read, recipe_named, recorded, tables
from derotate.tasks.options import STYLES


def explore(
    folder: Path,
    out: Path,
    console: Console,
    *,
    recipe_name: str,
    donor: Path | None = None,
    patient: Path | None = None,
    style: str | None = None,
) -> None:
    """Apply one recipe to a pair and write the page about it.

    Args:
        folder: the shipped pair.
        out: the HTML file.
        console: prints each result when it is ready.
        recipe_name: a recipe of the pair's study.
        donor: a checkpoint that replaces the pair's donor; requires `patient`.
        patient: likewise; requires `donor`.
        style: of the prompts; by default that of the pair's study.

    Raises:
        PairError, ConfigError, CheckpointError, GuardError: an invalid input.
    """
    if (donor is None) != (patient is None):
        raise PairError(
            "--donor and --patient: got one of them, expected both or neither; add the other"
        )
    pair = read(folder)
    own = donor is not None and patient is not None
    if donor is not None and patient is not None:
        pair = replace(pair, donor=donor, patient=patient)
    recipe = recipe_named(pair, recipe_name)
    style = style or pair.config.style
    if style not in STYLES:
        raise PairError(f"--style: got {style}, expected one of {', '.join(STYLES)}; correct it")
    transformers_logging.disable_progress_bar()
    # With more threads than free cores a tiny model becomes much slower.
    torch.set_num_threads(pair.config.evaluation.threads)
    results: dict[str, Trial] = {}
    for trial in trials(pair, recipe, style=style, with_donor=own):
        _print(console, trial.name, trial, f"({trial.seconds:.1f} s)")
        results[trial.name] = trial
    before = {} if own else _recorded(folder)
    for name, trial in before.items():
        _print(console, name, trial, "(recorded)")
    sentences = words.sentences(
        results, recipe.name, tasks.defaults(pair.config.task).wording.clusters
    )
    console.print()
    for sentence in sentences:
        console.print(sentence, highlight=False, markup=False)
    page.write_page(
        pair.config.task,
        out,
        lead=_lead(pair, recipe.name, own),
        sentences=sentences,
        table=words.table(results, before),
        figures=[] if own else page.drawings(pair.config.task, tables(folder)),
        footer="" if own else f"Origin of the pair: {folder}/README.md.",
    )
    console.print(f"\nPage: {out}", highlight=False, markup=False)


def _recorded(folder: Path) -> dict[str, Trial]:
    """Results of donor and RL checkpoint, from the export of the pair."""
    by_role = recorded(folder).groupby("checkpoint")
    rows = {str(role): own for role, own in by_role if role != "patient"}
    return {
        name: Trial(name, float("nan"), rows[role], 0.0)
        for role, name in (("donor", "donor"), ("rl", "RL result"))
        if role in rows
    }


def _lead(pair: Pair, recipe: str, own: bool) -> str:
    whose = "your checkpoints" if own else "the checkpoints shipped with derotate"
    return (
        f"Donor and patient ({whose}) were loaded in float32 and decomposed, and the recipe "
        f"{recipe} was applied in memory. Then the patient, the edited patient and two controls "
        f"were evaluated on the same {_count(pair)} problems."
    )


def _count(pair: Pair) -> int:
    return len(pd.read_csv(pair.problems))


def _print(console: Console, name: str, trial: Trial, note: str) -> None:
    ood, id_train = (words.interval(trial.accuracy(*suite)) for suite in (words.OOD, words.ID))
    line = f"{name:<18} OOD {ood:>17} %  ID {id_train:>19} %  {note}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)

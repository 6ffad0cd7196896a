# SPDX-License-Identifier: MIT
"""`derotate explore`: operate, say what happened on the terminal, write the page."""

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
    """Do one surgery on a pair and write the page about it.

    Args:
        folder: of the shipped pair.
        out: the HTML file.
        console: gets the numbers as they come.
        recipe_name: a recipe of the pair's study.
        donor: a checkpoint in place of the pair's, together with `patient`.
        patient: likewise.
        style: of the prompts; by default that of the pair's study.

    Raises:
        PairError, ConfigError, CheckpointError, GuardError: an input cannot be used.
    """
    if (donor is None) != (patient is None):
        raise PairError("--donor and --patient: got one of them, expected both or none")
    pair = read(folder)
    own = donor is not None and patient is not None
    if donor is not None and patient is not None:
        pair = replace(pair, donor=donor, patient=patient)
    recipe = recipe_named(pair, recipe_name)
    style = style or pair.config.style
    if style not in STYLES:
        raise PairError(f"--style: got {style}, expected one of {', '.join(STYLES)}")
    transformers_logging.disable_progress_bar()
    # More threads than cores are free cost a tiny model far more than they give.
    torch.set_num_threads(pair.config.evaluation.threads)
    done: dict[str, Trial] = {}
    for trial in trials(pair, recipe, style=style, with_donor=own):
        _print(console, trial.name, trial, f"({trial.seconds:.1f} s)")
        done[trial.name] = trial
    before = {} if own else _recorded(folder)
    for name, trial in before.items():
        _print(console, name, trial, "(recorded)")
    said = words.sentences(done, recipe.name, tasks.defaults(pair.config.task).wording.clusters)
    console.print()
    for sentence in said:
        console.print(sentence, highlight=False, markup=False)
    page.write_page(
        pair.config.task,
        out,
        live_lead=_lead(pair, recipe.name, own),
        said=said,
        live=words.table(done, before),
        drawn=[] if own else page.drawings(pair.config.task, tables(folder)),
        footer="" if own else f"Where the pair comes from: {folder}/README.md.",
    )
    console.print(f"\nPage: {out}", highlight=False, markup=False)


def _recorded(folder: Path) -> dict[str, Trial]:
    """Donor and RL result as they answered when the pair was exported."""
    answered = recorded(folder).groupby("checkpoint")
    rows = {str(role): own for role, own in answered if role != "patient"}
    return {
        name: Trial(name, float("nan"), rows[role], 0.0)
        for role, name in (("donor", "donor"), ("rl", "RL result"))
        if role in rows
    }


def _lead(pair: Pair, recipe: str, own: bool) -> str:
    whose = "your checkpoints" if own else "the checkpoints shipped with derotate"
    return (
        f"Donor and patient ({whose}) were loaded in float32, their matrices decomposed, and the "
        f"recipe {recipe} applied in memory. Then the patient, the edited patient and two controls "
        f"answered the same {_count(pair)} problems."
    )


def _count(pair: Pair) -> int:
    return len(pd.read_csv(pair.problems))


def _print(console: Console, name: str, trial: Trial, note: str) -> None:
    ood, learned = (words.interval(trial.accuracy(*suite)) for suite in (words.OOD, words.LEARNED))
    line = f"{name:<18} OOD {ood:>17} %  ID {learned:>19} %  {note}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)

# SPDX-License-Identifier: MIT
"""The tasks side by side: levels, differences, routes and verdicts, one row per task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

from derotate import tasks
from derotate.analysis.select_rows import LANDMARKS, POOLED
from derotate.claims.cells import MissingCells, Tables, matches, study_runs
from derotate.claims.schema import Claim
from derotate.report.estimates import Estimate, contrast
from derotate.report.format import NOTHING, listed, number
from derotate.report.markdown import table
from derotate.report.sources import Sources
from derotate.study import reference

CLAIM: Final = "C17"
"""The claim about other tasks."""
_OOD: Final = {"split": "ood", "fold": "test"}
_EDITS: Final = ("values-top20", "directions-top20", "rollback")
_FORWARD: Final = {"direction": "forward"}
_LANDMARKS: Final = ("base", "peak", "end of SFT", "after RL")


@dataclass(frozen=True)
class SideBySide:
    """All tasks of the reference studies.

    Attributes:
        count: number of tasks.
        floor: points above chance that a task's peak must reach to be testable.
        questions: what SFT teaches and what is evaluated.
        levels: OOD accuracy at the landmarks.
        differences: in points of OOD accuracy.
        routes: success on whole routes; empty if no task has routes.
        several_attempts: whether routes have more than one attempt.
        verdicts: on the primary claims.
        lost: mean OOD loss on each other task, in words; the next three likewise, for what RL, the
            edit of directions and the rollback give back.
    """

    count: int
    floor: float
    questions: str
    levels: str
    differences: str
    routes: str
    several_attempts: bool
    verdicts: str
    lost: str
    rl_gain: str
    directions: str
    rollback: str


def side_by_side(sources: Sources) -> SideBySide | None:
    """The tasks side by side; None where there is one task."""
    if not sources.others:
        return None
    by_task: dict[str, Tables] = {reference.TASK: sources.tables, **sources.others}
    [floor] = next(claim for claim in sources.claims if claim.id == CLAIM).floors
    routes = [row for task, own in by_task.items() for row in _routes(task, own)]
    edits = {"directions": "directions-top20", "rollback": "rollback"}
    return SideBySide(
        count=len(by_task),
        floor=floor.at_least,
        questions=_questions(by_task),
        levels=_levels(by_task, floor.at_least),
        differences=_differences(by_task),
        routes=table(["task", "routes", *_LANDMARKS], routes) if routes else "",
        several_attempts=any("within" in row[1] for row in routes),
        verdicts=_verdicts(sources.claims, by_task),
        lost=_each(sources.others, "forgot"),
        rl_gain=_each(sources.others, "rl_gain"),
        **{
            name: _each(sources.others, "over_patient", treatment=edit, **_FORWARD)
            for name, edit in edits.items()
        },
    )


def _each(others: Mapping[str, Tables], name: str, **columns: str) -> str:
    """The mean of a contrast on each task, e.g. `31.3 (determinant) and 18.1 (rank)`."""
    means = {task: contrast(own, name, **columns) for task, own in others.items()}
    return listed(
        [
            f"{number(mean.mean) if isinstance(mean, Estimate) else 'unknown'} ({_name(task)})"
            for task, mean in means.items()
        ]
    )


def _questions(by_task: Mapping[str, Tables]) -> str:
    rows = []
    for task, own in by_task.items():
        words = tasks.defaults(task).wording
        try:
            runs = study_runs(own)
            count = f"{len(runs)} ({runs['base_seed'].nunique()})"
        except MissingCells:
            count = NOTHING
        rows.append((_name(task), words.id_skill, words.ood_skill, count))
    return table(["task", "SFT teaches", "OOD problems ask", "runs (bases)"], rows)


def _levels(by_task: Mapping[str, Tables], floor: float) -> str:
    rows = []
    for task, own in by_task.items():
        means = [_mean(own, "stages", "accuracy", landmark=name, **_OOD) for name in LANDMARKS]
        guessable = tasks.defaults(task).guessable
        chance = _mean(own, "chance", "chance", **_OOD) if guessable else 0.0
        testable = _testable(means[1], chance, floor)
        rows.append((_name(task), number(chance), *map(number, means), testable))
    return table(["task", "chance", *_LANDMARKS, "testable"], rows)


def _testable(peak: float | None, chance: float | None, floor: float) -> str:
    if peak is None or chance is None:
        return NOTHING
    return "yes" if peak >= chance + floor else "no"


def _differences(by_task: Mapping[str, Tables]) -> str:
    rows = [
        (
            _name(task),
            contrast(own, "peak_over_base"),
            contrast(own, "forgot").reversed,
            contrast(own, "rl_gain"),
            *(contrast(own, "over_patient", treatment=edit, **_FORWARD) for edit in _EDITS),
            contrast(own, "id_rise", split="id", fold="train"),
        )
        for task, own in by_task.items()
    ]
    columns = ["task", "base to peak", "peak to end of SFT", "RL from the end", *_EDITS,
               "ID training problems, base to end"]  # fmt: skip
    return table(columns, rows)


def _routes(task: str, own: Tables) -> list[list[str]]:
    """Success on the routes that a task's problems are steps of; none if it has no routes."""
    episodes = own.get("episodes")
    if episodes is None or episodes.empty:
        return []
    rows = []
    for attempts in sorted(set(episodes["attempts"])):
        tried = episodes[episodes["attempts"] == attempts]
        within = f" within {attempts} attempts" if attempts > 1 else ""
        for split in ("id", "ood"):
            values = [_success(own, tried, landmark, split) for landmark in LANDMARKS]
            if any(value is not None for value in values):
                rows.append([_name(task), f"{split.upper()}{within}", *map(number, values)])
    return rows


def _success(own: Tables, episodes: pd.DataFrame, landmark: str, split: str) -> float | None:
    """Mean over runs of the success on whole routes at a landmark; None if a run lacks it."""
    values = []
    for run in study_runs(own).to_dict("records"):
        where: dict[str, str | int | float] = {"stage": "sft", "update": 0}
        if landmark == "base":
            where = {"stage": "base"}
        elif landmark == "rl_end":
            if pd.isna(run["rl_end_start"]):
                return None
            where = {"stage": "rl", "algorithm": run["rl_end_algorithm"],
                     "step": int(run["rl_end_start"])}  # fmt: skip
        else:
            where["step"] = int(run[landmark])
        keys = {"base_seed": run["base_seed"], "seed": run["seed"], "split": split, "fold": "test"}
        rows = episodes[matches(episodes, {**keys, **where})]
        if len(rows) != 1:
            return None
        values.append(float(rows["success"].iloc[0]))
    return sum(values) / len(values)


def _verdicts(claims: tuple[Claim, ...], by_task: Mapping[str, Tables]) -> str:
    primary = [claim for claim in claims if claim.primary]
    rows = []
    for task, own in by_task.items():
        verdicts = own.get("claims", pd.DataFrame(columns=["claim", "verdict"]))
        by_claim = dict(zip(verdicts["claim"], verdicts["verdict"], strict=True))
        rows.append((_name(task), *(by_claim.get(claim.id, NOTHING) for claim in primary)))
    return table(["task", *(f"{claim.id} {claim.title}" for claim in primary)], rows)


def _mean(own: Tables, name: str, column: str, **where: str) -> float | None:
    """Mean over the rows of the runs, None without any."""
    rows = own.get(name)
    if rows is None or rows.empty:
        return None
    fits = rows[matches(rows, where) & (rows["seed"] != POOLED)]
    return float(fits[column].mean()) if len(fits) else None


def _name(task: str) -> str:
    return task.replace("_", " ")

# SPDX-License-Identifier: MIT
"""The tasks side by side: what SFT forgot, what RL gave back, what edits restore on each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from derotate import tasks
from derotate.analysis.select_rows import LANDMARKS, POOLED
from derotate.claims.cells import MissingCells, Tables, matches, study_runs
from derotate.report.estimates import contrast, shown
from derotate.report.format import NOTHING, counted, listed, number, table
from derotate.report.sources import Sources
from derotate.study import reference

CLAIM: Final = "C17"
"""What is claimed of other tasks."""
_OOD: Final = {"split": "ood", "fold": "test"}
_EDITS: Final = ("values-top20", "directions-top20", "rollback")


def side_by_side(sources: Sources) -> list[str]:
    """Each task with its levels, differences and verdicts; nothing where there is one task."""
    if not sources.others:
        return []
    found: dict[str, Tables] = {reference.TASK: sources.tables, **sources.others}
    [floor] = next(claim for claim in sources.claims if claim.id == CLAIM).floors
    above = floor.at_least
    return [
        "## The tasks side by side",
        f"The same question, asked of {counted(len(found), 'task')}. Each has a base of its own "
        f"and the same stages; the others have a smaller grid. {sources.cited(CLAIM)}",
        _asked(found),
        "OOD accuracy on test problems in percent: means over runs. *Chance* is the best constant "
        f"answer; a task whose peak is not at least {above:g} points above it says nothing "
        "about forgetting.",
        _levels(found, above),
        "Differences in points of OOD accuracy, intervals over runs.",
        _differences(found),
        *_routes(found),
        "What became of the primary claims on each task, judged by its own study alone.",
        _primary(sources, found),
    ]


def in_short(sources: Sources) -> list[str]:
    """A paragraph of what other tasks lost and what gave it back; none where there is one task."""
    if not sources.others:
        return []
    edit = {"direction": "forward"}
    lost = _each(sources.others, "forgot")
    healed = _each(sources.others, "rl_gain")
    directions = _each(sources.others, "over_patient", treatment="directions-top20", **edit)
    rollback = _each(sources.others, "over_patient", treatment="rollback", **edit)
    return [
        f"**On other tasks.** From the peak to the end of SFT they lose {lost} points of OOD "
        f"accuracy. RL from there gives back {healed}; the leading singular directions of the peak "
        f"give back {directions}, rolling the same matrices back {rollback} (intervals and levels: "
        f"[the tasks side by side](#the-tasks-side-by-side)). {sources.cited(CLAIM)}"
    ]


def _each(others: Mapping[str, Tables], name: str, **where: str) -> str:
    """The mean of a contrast on each task, e.g. `31.3 (determinant) and 18.1 (rank)`."""
    told = []
    for task, own in others.items():
        try:
            told.append(f"{number(contrast(own, name, **where).mean)} ({_name(task)})")
        except MissingCells:
            told.append(f"an unknown number ({_name(task)})")
    return listed(told)


def _asked(found: Mapping[str, Tables]) -> str:
    rows = []
    for task, own in found.items():
        words = tasks.defaults(task).wording
        try:
            runs = study_runs(own)
            of = f"{len(runs)} ({runs['base_seed'].nunique()})"
        except MissingCells:
            of = NOTHING
        rows.append((_name(task), words.learned, words.asked, of))
    return table(["task", "SFT teaches", "and is asked besides", "runs (bases)"], rows)


def _levels(found: Mapping[str, Tables], above: float) -> str:
    rows = []
    for task, own in found.items():
        means = [_mean(own, "stages", "accuracy", landmark=name, **_OOD) for name in LANDMARKS]
        guessable = tasks.defaults(task).guessable
        chance = _mean(own, "chance", "chance", **_OOD) if guessable else 0.0
        says = _testable(means[1], chance, above)
        rows.append((_name(task), number(chance), *map(number, means), says))
    columns = ["task", "chance", "base", "peak", "end of SFT", "after RL", "says something"]
    return table(columns, rows)


def _testable(peak: float | None, chance: float | None, above: float) -> str:
    if peak is None or chance is None:
        return NOTHING
    return "yes" if peak >= chance + above else "no: not testable"


def _differences(found: Mapping[str, Tables]) -> str:
    rows = [
        (
            _name(task),
            shown(own, "peak_over_base"),
            shown(own, "forgot", sign=-1),
            shown(own, "rl_gain"),
            *(shown(own, "over_patient", direction="forward", treatment=edit) for edit in _EDITS),
            shown(own, "id_rise", split="id", fold="train"),
        )
        for task, own in found.items()
    ]
    columns = ["task", "base to peak", "peak to end", "RL from the end", *_EDITS,
               "ID learned by SFT, base to end"]  # fmt: skip
    return table(columns, rows)


def _routes(found: Mapping[str, Tables]) -> list[str]:
    """Success of what a task's problems are steps of, where it has any."""
    said = []
    for task, own in found.items():
        episodes = own.get("episodes")
        if episodes is None or episodes.empty:
            continue
        parts = []
        for attempts in sorted(set(episodes["attempts"])):
            own_rows = episodes[episodes["attempts"] == attempts]
            more = f" within {attempts} attempts" if attempts > 1 else ""
            for split, name in (("id", "ID"), ("ood", "OOD")):
                steps = [
                    (landmark, _whole(own, own_rows, landmark, split)) for landmark in LANDMARKS
                ]
                told = [f"{mark} {number(value)}" for mark, value in steps if value is not None]
                parts += [f"{name}{more}: {', '.join(told)}"] if told else []
        said.append(
            f"Whole routes of {_name(task)} (every step right, in percent of test routes): "
            f"{'; '.join(parts)}."
        )
        if episodes["attempts"].max() > 1:
            said[-1] += (
                " A further attempt follows the verifier's message, which SFT and GRPO never show."
            )
    return said


def _whole(own: Tables, episodes: pd.DataFrame, landmark: str, split: str) -> float | None:
    """Mean over runs of the success of whole routes at a landmark."""
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


def _primary(sources: Sources, found: Mapping[str, Tables]) -> str:
    primary = [claim for claim in sources.claims if claim.primary]
    rows = []
    for task, own in found.items():
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

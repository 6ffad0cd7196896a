# SPDX-License-Identifier: MIT
"""All tables of a study, from its evaluations, logs and spectra. No torch: quick to redo."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from derotate import tasks
from derotate.analysis import accuracy as tables
from derotate.analysis import contrasts
from derotate.analysis import rl_logs as logs
from derotate.analysis import spectra as spectral
from derotate.config.recipes import Recipe
from derotate.files.atomic import atomic_write
from derotate.files.html import page
from derotate.files.tables import markdown, write
from derotate.stages.data import read_problems
from derotate.study.arms import ARMS
from derotate.study.paths import cell_of

INTEGERS = ("seed", "start", "step", "donor")
SHOWN = ("stages", "surgery", "contrasts", "picks", "rl_first_update")
"""Tables that also come as Markdown, to be read as they are."""
STATE_KEYS = ["base_seed", "seed", "pair", "split", "fold", "metric"]
WEIGHT_KEYS = ["base_seed", "seed", "pair", "against", "metric", "fraction"]

_RUN = re.compile(r".*/base-(\d+)/seed-(\d+)/")


def gather(evaluations: Sequence[Path]) -> pd.DataFrame:
    """The rows of many evaluations, each with the columns of its cell."""
    parts = [pd.read_parquet(path).assign(**cell_of(str(path))) for path in evaluations]
    rows = pd.concat([part.astype(dict.fromkeys(INTEGERS, "Int64")) for part in parts])
    return rows.reset_index(drop=True)


def read_landmarks(files: Sequence[Path], rl_end: tuple[str, int, int] | None) -> pd.DataFrame:
    """One row a run: its landmarks; `rl_end` is algorithm, start and update, from the config."""
    algorithm, start, step = rl_end or (None, None, None)
    return pd.DataFrame(
        [
            {
                **_run_of(path),
                "max_ood": known["max_ood"],
                "sft_end": known["sft_end"],
                "rl_end_algorithm": algorithm,
                "rl_end_start": start,
                "rl_end_step": step,
            }
            for path in files
            for known in [json.loads(path.read_text(encoding="utf-8"))]
        ]
    )


def write_step_tables(evaluations: Sequence[Path], out: Path) -> None:
    """The table behind the first figure: accuracy by SFT step."""
    write(tables.accuracy_by_step(gather(evaluations)), out)


def write_tables(
    task: str,
    *,
    problems: Path,
    evaluations: Sequence[Path],
    landmarks: pd.DataFrame,
    rl_logs: Sequence[Path],
    spectra: Sequence[Path],
    states: Sequence[Path],
    weights: Sequence[Path],
    facts: Sequence[Path],
    recipes: Sequence[Recipe],
    origin: Mapping[str, Any],
    folder: Path,
) -> None:
    """Write every table of the study to `folder`, as CSV, the main ones as Markdown and HTML too.

    `origin.json` beside them says what they were made from: seeds, and digests of config, code and
    lock file. It holds nothing that changes from run to run.
    """
    rows = gather(evaluations)
    accuracy, losses = tables.accuracy_by_step(rows), tables.loss_by_step(rows)
    differences = contrasts.contrasts(rows, landmarks, recipes)
    log = _concatenate(rl_logs)
    advantages = _concatenate([path.with_name("advantages.csv") for path in rl_logs])
    made = {
        "accuracy_by_step": accuracy,
        "arms_by_step": _arms_by_step(rows),
        "loss_by_step": losses,
        "errors_by_step": tables.errors_by_step(rows, tasks.load(task).answers.ErrorKind),
        "picks": tables.picks(losses, accuracy),
        "stages": tables.stages(rows, landmarks),
        "contrasts": differences,
        "surgery": contrasts.surgery_plane(differences, recipes),
        "surgery_edits": _edits(facts),
        "pass_at_k": tables.sampled_pass_at_k(rows),
        "attempts": tables.feedback_attempts(rows),
        "episodes": _episodes(task, rows),
        "chance": chance_levels(task, problems, landmarks),
        "rl_log": logs.rl_log(log) if len(log) else log,
        "rl_first_update": logs.rl_first_update(log) if len(log) else log,
        "advantages": logs.advantages_by_start(advantages) if len(advantages) else advantages,
        "spectra": banded_spectra(spectra),
        "spectra_by_index": spectra_by_index(spectra, landmarks),
        "states": states_table(states),
        "weights": weights_table(weights),
        "landmarks": landmarks,
    }
    for name, table in made.items():
        write(table, folder / f"{name}.csv")
    with atomic_write(folder / "origin.json") as part:
        part.write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
    for name in SHOWN:
        markdown(made[name], folder / f"{name}.md")
        page(f"Table of {name.replace('_', ' ')}", [made[name]], folder / f"{name}.html")


def chance_levels(task: str, problems: Path, landmarks: pd.DataFrame) -> pd.DataFrame:
    """What the best constant answer is worth on each suite, in percent, once for each run.

    Columns: base_seed, seed, split, fold, chance (0 where answers cannot be guessed).
    """
    asked: dict[tuple[str, str], list[Any]] = {}
    for problem in read_problems(task, problems):
        asked.setdefault((problem.split, problem.fold), []).append(problem)
    part = tasks.load(task).chance
    levels = [
        {
            "split": split,
            "fold": fold,
            "chance": 100 * part.chance(own).constant if part is not None else 0.0,
        }
        for (split, fold), own in sorted(asked.items())
    ]
    runs = landmarks[["base_seed", "seed"]]
    return runs.merge(pd.DataFrame(levels), how="cross")


def _episodes(task: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Success of what a task's problems are steps of; empty where they stand alone."""
    part = tasks.load(task).success
    if part is None:
        return tables.episodes_by_step(rows[:0], lambda own: own)
    return tables.episodes_by_step(rows, part.route_success)


def _arms_by_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by step of the arms beside SFT, each with the base at step 0."""
    parts = []
    for arm in ARMS:
        own = rows[rows["stage"].isin(["base", arm])]
        found = tables.accuracy_by_step(own.replace({"stage": {arm: "sft"}}))
        found = found.replace({"stage": {"sft": arm}})
        parts.append(found if (found["stage"] == arm).any() else found[:0])
    return pd.concat(parts, ignore_index=True)


def _run_of(path: Path) -> dict[str, int]:
    found = _RUN.match(str(path))
    if found is None:
        raise ValueError(f"{path}: not the path of a run of a study")
    return {"base_seed": int(found[1]), "seed": int(found[2])}


def _concatenate(files: Sequence[Path]) -> pd.DataFrame:
    """RL tables by update, each with its run, algorithm and start."""
    parts = [
        pd.read_csv(path).assign(
            **_run_of(path),
            algorithm=path.parent.parent.name,
            start=int(path.parent.name.removeprefix("from-")),
        )
        for path in files
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _edits(files: Sequence[Path]) -> pd.DataFrame:
    """How large each edit is, and how near it is to a rollback in disguise."""
    table = pd.DataFrame(
        [
            {
                **_run_of(path),
                "operation": path.parent.name,
                **json.loads(path.read_text(encoding="utf-8")),
            }
            for path in files
        ]
    )
    if len(table):
        table["norm_over_donor_distance"] = table["edit_norm"] / table["donor_distance"]
        table["from_rollback_over_donor_distance"] = (
            table["from_rollback"] / table["donor_distance"]
        )
    return table


def banded_spectra(files: Sequence[Path]) -> pd.DataFrame:
    """Spectral metrics of all pairs by band of indices, see `reporting.spectra.banded`.

    Files are read one by one: all of a study together take a gigabyte of memory.
    """
    parts = [spectral.banded(pair_of(path)) for path in files]
    if not parts:
        return pd.DataFrame(columns=list(spectral.BANDED_COLUMNS))
    return pd.concat(parts, ignore_index=True).sort_values(list(spectral.BANDED_KEYS))


def spectra_by_index(files: Sequence[Path], landmarks: pd.DataFrame) -> pd.DataFrame:
    """Spectra of the runs' pairs of max_ood and sft_end, see `reporting.spectra.by_index`."""
    wanted = {
        (run["base_seed"], run["seed"], f"from-sft-{run['max_ood']}-to-sft-{run['sft_end']}")
        for run in landmarks.to_dict("records")
    }
    parts = [pair_of(path) for path in files if (*_run_of(path).values(), path.stem) in wanted]
    if not parts:
        return pd.DataFrame(columns=list(spectral.BY_INDEX_COLUMNS))
    return spectral.by_index(pd.concat(parts, ignore_index=True))


def pair_of(path: Path) -> pd.DataFrame:
    """The long spectral table of a pair of checkpoints, with its run and name."""
    return pd.read_parquet(path).assign(**_run_of(path), pair=path.stem.removeprefix("from-"))


def states_table(files: Sequence[Path]) -> pd.DataFrame:
    """Nearness of the landmarks' hidden states and next tokens, and divergence from the base."""
    columns = [*STATE_KEYS, "value", "low", "high", "n", "p"]
    parts = [pd.read_parquet(path).assign(**_run_of(path)) for path in files]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def weights_table(files: Sequence[Path]) -> pd.DataFrame:
    """Changes of weights between landmarks: mean and range over matrices; nulls of these alone."""
    parts = [pd.read_parquet(path).assign(**_run_of(path)) for path in files]
    if not parts:
        return pd.DataFrame(columns=[*WEIGHT_KEYS, "value", "low", "high"])
    rows = pd.concat(parts)
    measured = set(rows[rows["against"] == "patient"]["metric"])
    rows = rows[rows["metric"].isin(measured) & (rows["index"] == -1)]
    grouped = rows.groupby(WEIGHT_KEYS, dropna=False)["value"]
    return grouped.agg(value="mean", low="min", high="max").reset_index()

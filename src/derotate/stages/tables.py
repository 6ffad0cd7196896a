# SPDX-License-Identifier: MIT
"""All tables of a study, from its evaluations, logs and spectra. No torch: quick to redo."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from derotate import tasks
from derotate.analysis import accuracy, contrasts, rl_logs
from derotate.analysis.table_schemas.study import SCHEMAS
from derotate.config.recipes import Recipe
from derotate.files.atomic import atomic_write_text
from derotate.files.html import page
from derotate.files.tables import markdown, write
from derotate.stages.data import read_problems
from derotate.stages.run_files import (
    banded_spectra,
    concatenate,
    edit_reports,
    gather,
    spectra_by_index,
    states_table,
    weights_table,
)
from derotate.study.arms import ARMS
from derotate.study.tables import TABLES


@dataclass(frozen=True)
class StudyFiles:
    """What the tables are made from.

    Attributes:
        problems: the problems of the study.
        evaluations: Parquet files, one per evaluated checkpoint or edit.
        rl_logs: `log.csv` of each RL run; `advantages.csv` lies beside it.
        spectra: Parquet files, one per pair of checkpoints.
        states: diagnostics of hidden states, one file per run.
        weights: diagnostics of weights, one file per run.
        edits: JSON reports, one per edit.
    """

    problems: Path
    evaluations: Sequence[Path]
    rl_logs: Sequence[Path] = ()
    spectra: Sequence[Path] = ()
    states: Sequence[Path] = ()
    weights: Sequence[Path] = ()
    edits: Sequence[Path] = ()


@dataclass(frozen=True)
class StudyTables:
    """The tables of a study: each property is the table of its name in `derotate.study.tables`.

    Attributes:
        task: of the study.
        files: what the tables are made from.
        landmarks: one row per run, see `read_landmarks`; a table of its own too.
        recipes: surgery recipes of the study.
    """

    task: str
    files: StudyFiles
    landmarks: pd.DataFrame
    recipes: Sequence[Recipe] = ()

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row per answer, see `derotate.analysis.select_rows`."""
        return gather(self.files.evaluations)

    @cached_property
    def accuracy_by_step(self) -> pd.DataFrame:
        """Greedy pass@1 by SFT step and after RL."""
        return accuracy.accuracy_by_step(self.rows)

    @property
    def arms_by_step(self) -> pd.DataFrame:
        """Accuracy by step of the arms beside SFT, each with the base at step 0."""
        parts = []
        for arm in ARMS:
            own = self.rows[self.rows["stage"].isin(["base", arm])]
            # `accuracy_by_step` knows the steps of SFT, so an arm takes its name meanwhile.
            by_step = accuracy.accuracy_by_step(own.replace({"stage": {arm: "sft"}}))
            by_step = by_step.replace({"stage": {"sft": arm}})
            parts.append(by_step if (by_step["stage"] == arm).any() else by_step[:0])
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def loss_by_step(self) -> pd.DataFrame:
        """Loss of the reference answer by SFT step, in nats per token."""
        return accuracy.loss_by_step(self.rows)

    @property
    def errors_by_step(self) -> pd.DataFrame:
        """Share of each error kind by SFT step and after RL, in percent."""
        return accuracy.errors_by_step(self.rows, tasks.load(self.task).answers.ErrorKind)

    @property
    def picks(self) -> pd.DataFrame:
        """The SFT step that each criterion would choose."""
        return accuracy.picks(self.loss_by_step, self.accuracy_by_step)

    @property
    def stages(self) -> pd.DataFrame:
        """Greedy pass@1 at the landmarks."""
        return accuracy.stages(self.rows, self.landmarks)

    @cached_property
    def contrasts(self) -> pd.DataFrame:
        """Paired differences between checkpoints, in points."""
        return contrasts.contrasts(self.rows, self.landmarks, self.recipes)

    @property
    def surgery(self) -> pd.DataFrame:
        """ID accuracy lost and OOD accuracy gained by each recipe, in points."""
        return contrasts.surgery_plane(self.contrasts, self.recipes)

    @property
    def surgery_edits(self) -> pd.DataFrame:
        """Size of each edit and its distance from a rollback."""
        return edit_reports(self.files.edits)

    @property
    def pass_at_k(self) -> pd.DataFrame:
        """pass@k from independent samples, in percent."""
        return accuracy.sampled_pass_at_k(self.rows)

    @property
    def attempts(self) -> pd.DataFrame:
        """Problems solved within k attempts with verifier feedback, in percent."""
        return accuracy.feedback_attempts(self.rows)

    @property
    def episodes(self) -> pd.DataFrame:
        """Empty where the problems of the task are not steps of an episode."""
        part = tasks.load(self.task).success
        if part is None:
            return accuracy.episodes_by_step(self.rows[:0], lambda own: own)
        return accuracy.episodes_by_step(self.rows, part.route_success)

    @property
    def chance(self) -> pd.DataFrame:
        """Accuracy of the best constant answer, in percent."""
        return chance_levels(self.task, self.files.problems, self.landmarks)

    @cached_property
    def rl_log(self) -> pd.DataFrame:
        """One row per update of an RL run; empty without RL."""
        log = self._updates
        return rl_logs.rl_log(log) if len(log) else log

    @property
    def rl_first_update(self) -> pd.DataFrame:
        """First update of each RL run; empty without RL."""
        log = self._updates
        return rl_logs.rl_first_update(log) if len(log) else log

    @property
    def advantages(self) -> pd.DataFrame:
        """Histogram of advantages at the first update of each RL run; empty without RL."""
        histograms = concatenate([path.with_name("advantages.csv") for path in self.files.rl_logs])
        return rl_logs.advantages_by_start(histograms) if len(histograms) else histograms

    @property
    def spectra(self) -> pd.DataFrame:
        """Spectral metrics by band of indices."""
        return banded_spectra(self.files.spectra)

    @property
    def spectra_by_index(self) -> pd.DataFrame:
        """Spectral metrics by index, of the pair max_ood to sft_end."""
        return spectra_by_index(self.files.spectra, self.landmarks)

    @property
    def states(self) -> pd.DataFrame:
        """Similarity of the landmarks' hidden states and next tokens."""
        return states_table(self.files.states)

    @property
    def weights(self) -> pd.DataFrame:
        """Changes of weights between landmarks."""
        return weights_table(self.files.weights)

    @cached_property
    def _updates(self) -> pd.DataFrame:
        return concatenate(self.files.rl_logs)


def write_tables(
    tables: StudyTables, origin: Mapping[str, Any], folder: Path, shown: Collection[str] = ()
) -> None:
    """Write every table of a study as CSV, and `origin.json` beside them.

    Args:
        tables: of the study.
        origin: seeds and the digests of config, code and lock file; nothing that changes from run
            to run.
        folder: where the files go.
        shown: tables that are also written as Markdown and HTML.
    """
    for name in TABLES:
        table = getattr(tables, name)
        if not len(table.columns):
            # a table without rows has its columns all the same, and can be read
            table = pd.DataFrame(columns=list(SCHEMAS[name].columns))
        write(table, folder / f"{name}.csv")
        if name in shown:
            markdown(table, folder / f"{name}.md")
            page(f"Table of {name.replace('_', ' ')}", [table], folder / f"{name}.html")
    atomic_write_text(folder / "origin.json", json.dumps(origin, indent=2) + "\n")


def write_step_tables(evaluations: Sequence[Path], out: Path) -> None:
    """Write the table behind the first figure: accuracy by SFT step."""
    write(accuracy.accuracy_by_step(gather(evaluations)), out)


def chance_levels(task: str, problems: Path, landmarks: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of the best constant answer on each suite, in percent, once per run.

    Columns: base_seed, seed, split, fold, chance (0 where answers cannot be guessed).
    """
    suites: dict[tuple[str, str], list[Any]] = {}
    for problem in read_problems(task, problems):
        suites.setdefault((problem.split, problem.fold), []).append(problem)
    part = tasks.load(task).chance
    levels = [
        {
            "split": split,
            "fold": fold,
            "chance": 100 * part.chance(own).constant if part is not None else 0.0,
        }
        for (split, fold), own in sorted(suites.items())
    ]
    runs = landmarks[["base_seed", "seed"]]
    return runs.merge(pd.DataFrame(levels), how="cross")

# SPDX-License-Identifier: MIT
"""Summary of a finished study on the terminal: results, stages, costs, where to find more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from derotate.analysis.select_rows import POOLED
from derotate.config.schema import Config
from derotate.report.terminal_summary import summary as summary_sentences
from derotate.runs.benchmarks import TOTAL, write_budget
from derotate.study import record
from derotate.tasks import TASKS

SUITES = (("id", "train", "ID, learned"), ("id", "test", "ID, test"), ("ood", "test", "OOD, test"))
"""Split, fold and column title of the suites in the table of stages."""

_FULL_WIDTH = 100


class StudyError(ValueError):
    """A folder without a finished study; one line with what was expected."""


def show(folder: Path, console: Console) -> None:
    """Print the summary of the study in `folder` and write its budget table.

    Raises:
        StudyError: the study has no tables yet.
        ConfigError: the folder holds no study.
    """
    config = record.read(folder)
    contrasts, stages, edits = (read_table(folder / "tables" / f"{name}.csv")
                                for name in ("contrasts", "stages", "surgery_edits"))  # fmt: skip
    _require_own_seeds(stages, config, folder)
    console.width = min(console.width, _FULL_WIDTH)
    for sentence in summary_sentences(contrasts, stages, edits, config.surgery.recipes):
        console.print(sentence, highlight=False, markup=False)
    console.print()
    console.print(stages_table(stages))
    budget = write_budget(folder, config)
    console.print(budget_table(budget))
    for line in (*over_budget(budget), *places(folder, config)):
        console.print(line, highlight=False, markup=False)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of a study; seeds are strings, because `all` is one of them.

    Raises:
        StudyError: the table does not exist yet.
    """
    try:
        return pd.read_csv(path, dtype={"seed": str})
    except FileNotFoundError:
        raise StudyError(
            f"{path}: does not exist yet; repeat the command of the study to finish it"
        ) from None


def _require_own_seeds(stages: pd.DataFrame, config: Config, folder: Path) -> None:
    """A stopped run has recorded its seeds, but the tables are still those of the run before."""
    made = sorted(int(seed) for seed in set(stages["seed"]) - {POOLED})
    if made != sorted(config.seeds):
        raise StudyError(
            f"{folder}/tables: contain seeds {made}, expected {sorted(config.seeds)} of the last "
            "run; repeat the command of the study to finish it"
        )


def stages_table(stages: pd.DataFrame) -> Table:
    """Accuracy of the landmarks on the main suites, in percent with 95 % intervals."""
    pooled = stages[stages["seed"] == POOLED]
    table = Table("accuracy (%)", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    several = pooled["base_seed"].nunique() > 1
    for _, _, name in SUITES:
        table.add_column(f"{name} [95 %]", justify="right")
    for (base_seed, landmark), own in pooled.groupby(["base_seed", "landmark"], sort=False):
        cells = [_accuracy(own, split, fold) for split, fold, _ in SUITES]
        table.add_row(f"{landmark}, base {base_seed}" if several else str(landmark), *cells)
    return table


def budget_table(budget: pd.DataFrame) -> Table:
    """Minutes by stage, one column per stage."""
    table = Table("minutes", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for stage in budget["stage"]:
        table.add_column(str(stage), justify="right")
    for name, column in (
        ("budget", "budget_minutes"),
        ("sum of jobs", "took_minutes"),
        ("wall clock", "wall_minutes"),
    ):
        table.add_row(name, *(f"{value:.1f}" for value in budget[column]))
    return table


def over_budget(budget: pd.DataFrame) -> list[str]:
    """One line with the stages above their budget, or none."""
    own = budget[budget["stage"] != TOTAL]
    over = own[own["took_minutes"] > own["budget_minutes"]]
    if over.empty:
        return []
    stages = (
        f"{stage} ({took:.1f} of {minutes:g} minutes)"
        for stage, took, minutes in zip(
            over["stage"], over["took_minutes"], over["budget_minutes"], strict=True
        )
    )
    return [f"Over budget: {', '.join(stages)}"]


def _accuracy(own: pd.DataFrame, split: str, fold: str) -> str:
    rows = own[(own["split"] == split) & (own["fold"] == fold)]
    if rows.empty:
        return "not evaluated"
    row = rows.iloc[0]
    # the backslash: brackets are rich's markup
    return f"{row['accuracy']:.1f} \\[{row['low']:.1f}, {row['high']:.1f}]"


def places(folder: Path, config: Config) -> Iterator[str]:
    """Paths of figures, tables and the report, and what to try next; one line each."""
    demos = {"demo": "make report", **{task: f"make report TASK={task}" for task in TASKS}}
    yield f"Figures  {folder}/figures/: sft_and_rl.png first, then surgery.png"
    yield f"Tables   {folder}/tables/: stages.md, contrasts.md, budget.csv"
    yield f"Report   {demos.get(config.study, 'the same command with --report FILE.html')}"
    if config.rl.runs:
        file = f"config/{config.study}.yaml" if config.study in demos else "its config"
        updates = config.rl.grpo.updates
        yield f"Next     change rl.grpo.updates ({updates}) in {file}; SFT is not repeated"

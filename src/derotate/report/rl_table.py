# SPDX-License-Identifier: MIT
"""RL by its start: OOD gain beside the controls, and the samples of the first update."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from derotate.analysis.select_rows import POOLED
from derotate.claims.cells import Tables
from derotate.report.edit_table import ood_contrasts
from derotate.report.estimates import Estimate, Missing, contrast
from derotate.report.format import NOTHING, number
from derotate.report.markdown import table
from derotate.study.arms import ARMS
from derotate.study.checkpoint import Checkpoint
from derotate.study.rl_algorithms import RL_ALGORITHMS

_COLUMNS: Final = (
    "RL", "start step", "ID train accuracy (%)", "correct samples (%)",
    "zero-variance groups (%)", "OOD, after minus before RL", "minus shuffled rewards",
    "minus continued SFT", "minus the peak of SFT",
)  # fmt: skip
_CONTRASTS: Final = ("rl_over_start", "rl_over_shuffled", "rl_over_more_sft", "rl_over_peak")


def rl_by_start(tables: Tables) -> str:
    """One row per algorithm and start; empty if no run of contrasts.csv has an RL result."""
    rows = ood_contrasts(tables, "rl_over_start")
    if rows.empty:
        return ""
    cells = []
    for treatment in _sorted(rows["treatment"].unique()):
        run = Checkpoint.parse(treatment)
        first = _first_update(tables, run.algorithm, run.start)
        cells.append(
            [
                RL_ALGORITHMS[run.algorithm].description,
                str(run.start),
                _train_accuracy(tables, run.start),
                *(number(first.get(name)) for name in ("correct_share", "zero_variance_share")),
                *(contrast(tables, name, treatment=treatment) for name in _CONTRASTS),
            ]
        )
    return table(_COLUMNS, cells)


def _sorted(treatments: Iterable[str]) -> list[str]:
    """RL runs by algorithm and start, the control last."""

    def key(name: str) -> tuple[bool, str, int]:
        run = Checkpoint.parse(name)
        return RL_ALGORITHMS[run.algorithm].shuffled_rewards, run.algorithm, run.start or 0

    return sorted(treatments, key=key)


def _first_update(tables: Tables, algorithm: str, start: int | None) -> dict[str, float]:
    """Means over runs, in percent."""
    data = tables.get("rl_first_update")
    if data is None:
        return {}
    own = data[(data["algorithm"] == algorithm) & (data["start"] == start)]
    names = ("correct_share", "zero_variance_share")
    return {name: float(own[name].mean()) for name in names if name in own}


def _train_accuracy(tables: Tables, step: int | None) -> str:
    """ID accuracy on training problems at an SFT step, mean over runs, in percent."""
    data = tables.get("accuracy_by_step")
    if data is None:
        return NOTHING
    own = data[(data["stage"] == "sft") & (data["step"] == step) & (data["seed"] != POOLED)]
    own = own[(own["split"] == "id") & (own["fold"] == "train")]
    return number(own["accuracy"].mean())


@dataclass(frozen=True)
class Arm:
    """OOD accuracy at the end of another SFT arm, minus the end and the peak of plain SFT."""

    description: str
    over_end: Estimate
    over_peak: Estimate | Missing


def arms(tables: Tables) -> list[Arm]:
    """The arms of SFT that the study has."""
    ends = {arm: contrast(tables, "arm_over_sft_end", treatment=arm) for arm in ARMS}
    return [
        Arm(ARMS[arm].description, over_end, contrast(tables, "arm_over_peak", treatment=arm))
        for arm, over_end in ends.items()
        if isinstance(over_end, Estimate)
    ]

# SPDX-License-Identifier: MIT
"""Where RL helps, and what edits of the weights do: the study's tables with runs as the unit."""

from __future__ import annotations

from typing import Final

import pandas as pd

from derotate.analysis.select_rows import POOLED
from derotate.claims.cells import MissingCells, study_runs
from derotate.report.estimates import change, contrast, shown
from derotate.report.format import NOTHING, number, sentence, table
from derotate.report.sources import Sources

_OOD: Final = {"split": "ood", "fold": "test"}
DIRECTIONS: Final = "directions-top20"
"""The edit that the papers recommend."""
WINDOW: Final = "C6"
"""The claim that names where RL helps, as one contrast set beforehand."""
_ALGORITHMS: Final = {"grpo": "GRPO", "ppo": "PPO", "shuffled": "shuffled rewards (control)"}
_ARMS: Final = {
    "oracle": "SFT on problems of both rules in turn, an upper bound for supervision,",
    "lora": "SFT of a low-rank adapter",
    "diverse": "SFT under rules that vary, never the OOD rule, with some larger numbers,",
}


def rl_by_start(sources: Sources) -> list[str]:
    """What RL adds from each start, beside its controls, and what its first samples were."""
    heading = "## Where RL helps"
    rows = _rows(sources, "rl_over_start")
    if rows.empty:
        return [heading, "Not measured here: no run of contrasts.csv has an RL result."]
    found = []
    for treatment in _in_order(rows["treatment"].unique()):
        _, algorithm, start = treatment.split("-")
        first = _first_update(sources, algorithm, int(start))
        found.append(
            [
                _ALGORITHMS.get(algorithm, algorithm),
                start,
                _accuracy_at(sources, int(start)),
                *(number(first.get(name)) for name in ("correct_share", "zero_variance_share")),
                *(
                    shown(sources.tables, name, treatment=treatment)
                    for name in (
                        "rl_over_start", "rl_over_shuffled", "rl_over_more_sft", "rl_over_peak",
                    )
                ),
            ]
        )  # fmt: skip
    columns = [
        "RL", "from step", "ID learned (%)", "first samples correct (%)",
        "groups without variance (%)", "OOD after RL minus before", "minus shuffled rewards",
        "minus as much more SFT", "minus the peak of SFT",
    ]  # fmt: skip
    text = (
        "Change of OOD accuracy by the step at which RL starts, in points, intervals over runs. "
        "Starts are chosen by step, not by score. The first samples are those of the first update; "
        "a group without variance teaches nothing."
    )
    asked = f"The question set beforehand: {sources.cited(WINDOW)}"
    return [heading, asked, text, table(columns, found), *_arms(sources)]


def _arms(sources: Sources) -> list[str]:
    said = []
    for arm, name in _ARMS.items():
        try:
            found = contrast(sources.tables, "arm_over_sft_end", treatment=arm)
        except MissingCells:
            continue
        ends = change(found, "{} above", "{} below", "{} from")
        beside = shown(sources.tables, "arm_over_peak", treatment=arm)
        peak = "" if beside == NOTHING else f" (minus its peak: {beside} points)"
        said.append(sentence(f"{name} ends {ends} the end of plain SFT in OOD accuracy{peak}"))
    return [" ".join(said)] if said else []


def edits(sources: Sources) -> list[str]:
    """Each edit of the end of SFT: OOD gained, ID lost, its size, how near it is to a rollback."""
    heading = "## What edits of the weights do"
    rows = _rows(sources, "over_patient")
    rows = rows[rows["direction"] == "forward"] if len(rows) else rows
    if rows.empty:
        return [heading, "Not measured here: contrasts.csv has no edit of the end of SFT."]
    known, roles = _sizes(sources), _roles(sources)
    gains = rows[rows["seed"] != POOLED].groupby("treatment")["points"].mean()
    found = []
    for recipe in gains.sort_values(ascending=False, kind="stable").index:
        own = {"direction": "forward", "treatment": str(recipe)}
        sizes = known.loc[recipe] if recipe in known.index else pd.Series(dtype=float)
        found.append(
            [
                f"{recipe}{' (control)' if roles.get(recipe) == 'control' else ''}",
                shown(sources.tables, "over_patient", sign=1, **own),
                shown(sources.tables, "over_patient", "id", "train", sign=-1, **own),
                number(sizes.get("norm_over_donor_distance"), 2),
                number(sizes.get("from_rollback_over_donor_distance"), 2),
            ]
        )
    peak = [
        "the peak itself, a full rollback",
        shown(sources.tables, "forgot"),
        shown(sources.tables, "forgot", "id", "train", sign=-1),
        NOTHING,
        NOTHING,
    ]
    columns = [
        "edit of the end of SFT", "OOD gained", "ID lost (learned problems)", "size of the edit",
        "distance from a rollback",
    ]  # fmt: skip
    text = (
        "Points gained and lost against the unedited end of SFT, intervals over runs. Sizes are "
        "Frobenius norms, as shares of the distance between the end and the peak; so the unedited "
        "end itself lies at a distance of one from a rollback, and a rollback in disguise at none."
    )
    return [heading, text, table(columns, [peak, *found]), *rollback_in_disguise(sources)]


def rollback_in_disguise(sources: Sources) -> list[str]:
    """How near the directions edit is to a rollback; nothing if that was not measured."""
    try:
        own = _edits_of_end(sources)
    except MissingCells:
        return []
    own = own[own["recipe"] == DIRECTIONS]["from_rollback_over_donor_distance"].dropna()
    if own.empty:
        return []
    side = (
        "nearer to it than"
        if own.max() < 1
        else "no nearer than"
        if own.min() >= 1
        else "as far as"
    )
    beside = shown(sources.tables, "over_rollback", direction="forward", treatment=DIRECTIONS)
    return [
        f"The edit `{DIRECTIONS}` ends at a distance of {number(own.mean(), 2)} (mean of runs, "
        f"{number(own.min(), 2)} to {number(own.max(), 2)}) from a rollback, {side} the unedited "
        f"end; in OOD accuracy it is {beside} points from a rollback of the same matrices."
    ]


def _rows(sources: Sources, contrast: str) -> pd.DataFrame:
    found = sources.tables.get("contrasts")
    needed = {"contrast", "direction", "treatment", "split", "fold", "seed", "points"}
    if found is None or not needed <= set(found.columns):
        return pd.DataFrame()
    own = found[(found["contrast"] == contrast)]
    return own[(own["split"] == _OOD["split"]) & (own["fold"] == _OOD["fold"])]


def _in_order(treatments: list[str]) -> list[str]:
    """RL runs by algorithm and start, the control last."""

    def key(name: str) -> tuple[bool, str, int]:
        _, algorithm, start = name.split("-")
        return algorithm == "shuffled", algorithm, int(start)

    return sorted(treatments, key=key)


def _first_update(sources: Sources, algorithm: str, start: int) -> dict[str, float]:
    """Means over runs, in percent."""
    found = sources.tables.get("rl_first_update")
    if found is None:
        return {}
    own = found[(found["algorithm"] == algorithm) & (found["start"] == start)]
    names = ("correct_share", "zero_variance_share")
    return {name: float(own[name].mean()) for name in names if name in own}


def _accuracy_at(sources: Sources, step: int) -> str:
    """Accuracy on the problems that SFT learned at one of its steps, mean over runs."""
    found = sources.tables.get("accuracy_by_step")
    if found is None:
        return NOTHING
    own = found[(found["stage"] == "sft") & (found["step"] == step) & (found["seed"] != POOLED)]
    own = own[(own["split"] == "id") & (own["fold"] == "train")]
    return number(own["accuracy"].mean())


def _sizes(sources: Sources) -> pd.DataFrame:
    """Mean over runs of the sizes of each edit, by recipe."""
    try:
        own = _edits_of_end(sources)
    except MissingCells:
        return pd.DataFrame()
    columns = ["norm_over_donor_distance", "from_rollback_over_donor_distance"]
    return own.groupby("recipe")[[name for name in columns if name in own]].mean()


def _edits_of_end(sources: Sources) -> pd.DataFrame:
    """The rows of surgery_edits.csv about the end of SFT."""
    found = sources.tables.get("surgery_edits")
    if found is None or "from_rollback_over_donor_distance" not in found:
        raise MissingCells(["surgery_edits.csv"])
    ends = {f"into-sft-{int(end)}" for end in study_runs(sources.tables)["sft_end"]}
    return found[found["operation"].astype(str).str.endswith(tuple(ends))]


def _roles(sources: Sources) -> dict[str, str]:
    found = sources.tables.get("surgery")
    return {} if found is None else dict(zip(found["recipe"], found["role"], strict=True))

# SPDX-License-Identifier: MIT
"""The papers' numbers in the form of this study's tables, for figures and quotations.

The columns are those of `derotate.analysis.accuracy`, so that one figure draws both; model, paper,
version and `exact` are added. The papers have one run each: the Wilson intervals are ours, assume
independent problems and ignore the variance between seeds. The papers count success within five
graded attempts on GeneralPoints, we count pass@1.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pandas as pd

from derotate.analysis.clustered_intervals import wilson
from derotate.analysis.select_rows import POOLED
from derotate.published.schemas import nearest_count

PAPER: Final = "2509.12235"
NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"Llama-3.2-11B-Vision-Instruct": "LLaMA 11B", "Qwen2.5-7B-Instruct": "Qwen 7B"}
)
"""Names of the models in figures."""

ORIGIN: Final = ("paper", "version", "exact")
"""Columns of the source and precision of a number."""
TASK: Final = "general_points"
"""The task whose published numbers are shown with ours."""
_PROFILE: Final = [*ORIGIN, "model", "mark", "size", "id", "ood_low", "ood_high"]


def stages(landmarks: pd.DataFrame, curve: pd.DataFrame) -> pd.DataFrame:
    """Accuracy at the papers' landmarks, in percent.

    Args:
        landmarks: the subject `stages` of `derotate.published.numbers.load`.
        curve: the subject `accuracy_by_step`, whose step 0 is the base.

    Returns:
        Columns `ORIGIN`, model, task, split, landmark (base, max_ood, sft_end, rl_end), n,
        accuracy, low, high; printed values only, not those that a third party read.
    """
    base = curve[(curve["quantity"] == "accuracy") & (curve["step"] == 0)]
    own = pd.concat([base.assign(recipe="base"), landmarks], ignore_index=True)
    own = own[(own["quantity"] == "accuracy") & (own["exact"] == "yes")]
    table = _with_intervals(own).rename(columns={"recipe": "landmark"})
    columns = [*ORIGIN, "model", "task", "split", "landmark", "n", "accuracy", "low", "high"]
    return table[columns].reset_index(drop=True)


def accuracy_by_step(curve: pd.DataFrame, landmarks: pd.DataFrame) -> pd.DataFrame:
    """GeneralPoints accuracy by SFT step, and after RL by the step that it started from.

    Where the papers give a sweep (LLaMA, OOD) it is that; elsewhere the landmarks at their steps.
    RL at the end of SFT is set at that step: the papers give no other start.

    Args:
        curve: the subject `accuracy_by_step` of `derotate.published.numbers.load`.
        landmarks: the subject `stages`.

    Returns:
        Columns of `tables.accuracy_by_step`, `ORIGIN` and `model`: base_seed 0, seed `all`, stage
        (base, sft, rl), algorithm (empty or ppo), step, update 0, split, fold `test`, seeds 1, n,
        clusters (n), accuracy, low, high. The fold's name is ours: their ID problems are also
        training problems.
    """
    sweep = _with_intervals(curve[curve["quantity"] == "accuracy"])
    sweep = sweep.assign(
        stage=sweep["recipe"], step=sweep["step"].fillna(sweep["start"]).astype(int)
    )
    known = set(zip(sweep["model"], sweep["split"], strict=True))
    table = pd.concat([sweep, _landmarks_at_steps(landmarks, known)], ignore_index=True)
    table.loc[(table["step"] == 0) & (table["stage"] == "sft"), "stage"] = "base"
    # RL of the base is not a start of SFT, and both are 0.
    table = table[(table["stage"] != "rl") | (table["step"] > 0)]
    table = table.assign(
        base_seed=0, seed=POOLED, update=0, fold="test", seeds=1, clusters=table["n"],
        algorithm=["ppo" if stage == "rl" else "" for stage in table["stage"]],
    )  # fmt: skip
    columns = [
        *ORIGIN, "model", "base_seed", "seed", "stage", "algorithm", "step", "update", "split",
        "fold", "seeds", "n", "clusters", "accuracy", "low", "high",
    ]  # fmt: skip
    return table[columns].sort_values(["model", "split", "stage", "step"], ignore_index=True)


def surgery(edits: pd.DataFrame, landmarks: pd.DataFrame) -> pd.DataFrame:
    """ID and OOD accuracy on GeneralPoints of edited models and of the landmarks beside them.

    Args:
        edits: the subject `surgery` of `derotate.published.numbers.load`.
        landmarks: the subject `stages`.

    Returns:
        Columns `ORIGIN`, model, mark (max_ood, sft_end, rl_end, values, directions), size (values
        restored), id, ood_low, ood_high (percent; both the same but where a range is given). A
        landmark that another paper gives with another OOD value has its ID value from the first.
        Values restored are in doubt: see the README there.
    """
    parts = [_landmark_profiles(landmarks), _restored_values(edits), _directions(edits)]
    return pd.concat(parts, ignore_index=True).astype({"size": "Int64"})


def origin(table: pd.DataFrame) -> str:
    """Source and precision of the numbers of a table, in one line.

    Args:
        table: with the columns `ORIGIN`.
    """
    known = table.assign(known=table["exact"].map(_KNOWN), main=table["paper"] == PAPER)
    known["version"] = known["version"].replace("unstated", "version unstated")
    first = known.sort_values("main", ascending=False, kind="stable")
    papers = []
    for paper, own in first.groupby("paper", sort=False):
        versions = [
            f"{version} ({' and '.join(sorted(set(how)))})"
            for version, how in own.groupby("version")["known"]
        ]
        papers.append(f"arXiv {paper}, {', '.join(versions)}")
    return "; ".join(papers)


def quotes(published: pd.DataFrame, claim: str) -> pd.DataFrame:
    """The papers' numbers on a claim, for docs/reproducing.md.

    Args:
        published: from `derotate.published.numbers.load_all`.
        claim: C1 to C18.

    Returns:
        subject, where (paper, version and place), what, value (as printed, with unit), known
        (exact, from a plot, about; uncertain where it is), in the order of the files.
    """
    own = published[[claim in claims.split() for claims in published["claims"]]]
    return pd.DataFrame(
        [
            {
                "subject": row["subject"],
                "where": f"{row['paper']} {row['version']}, {row['place']}",
                "what": _number_name(row),
                "value": f"{_BOUNDS[row['bound']]}{row['printed']} {row['unit']}",
                "known": _KNOWN[row["exact"]] + ("" if row["certain"] == "yes" else ", uncertain"),
            }
            for row in own.to_dict("records")
        ],
        columns=["subject", "where", "what", "value", "known"],
    )


_BOUNDS: Final[Mapping[str, str]] = MappingProxyType(
    {"": "", "from": "from ", "to": "up to ", "below": "below ", "above": "above "}
)
_KNOWN: Final[Mapping[str, str]] = MappingProxyType(
    {"yes": "exact", "plot": "from a plot", "about": "about"}
)


def _number_name(row: Mapping[str, object]) -> str:
    """Name of a number: quantity, then the columns that distinguish it."""
    parts = [str(row["quantity"]).replace("_", " ")]
    parts += [str(row[name]) for name in ("split", "matrix", "recipe") if row[name]]
    parts += [f"{name} {row[name]}" for name in ("start", "step", "index") if pd.notna(row[name])]
    model = str(row["model"])
    return ", ".join([*parts, NAMES.get(model, model)] if model else parts)


def _landmarks_at_steps(landmarks: pd.DataFrame, known: set[tuple[str, str]]) -> pd.DataFrame:
    """Landmarks of GeneralPoints as rows of a sweep, for models and splits without one."""
    own = landmarks[(landmarks["task"] == TASK) & (landmarks["paper"] == PAPER)]
    at = own[own["quantity"] == "landmark_step"].set_index(["model", "recipe"])["value"]
    reached = own[(own["quantity"] == "accuracy") & (own["exact"] == "yes")]
    reached = reached[
        [pair not in known for pair in zip(reached["model"], reached["split"], strict=True)]
    ]
    stage = reached["recipe"].map({"max_ood": "sft", "sft_end": "sft", "rl_end": "rl"})
    start = reached["recipe"].replace("rl_end", "sft_end")
    steps = [int(at[pair]) for pair in zip(reached["model"], start, strict=True)]
    return _with_intervals(reached).assign(stage=stage, step=steps)


def _with_intervals(own: pd.DataFrame) -> pd.DataFrame:
    """`value` as accuracy with Wilson's 95 % interval, in percent.

    A rate that is no count of n (`on_grid` no) gets the interval of the nearest count.
    """
    ends = [
        wilson(nearest_count(printed, int(n)).count, int(n))
        for printed, n in zip(own["printed"], own["n"], strict=True)
    ]
    return own.rename(columns={"value": "accuracy"}).assign(
        low=[min(100 * low, value) for (low, _), value in zip(ends, own["value"], strict=True)],
        high=[max(100 * high, value) for (_, high), value in zip(ends, own["value"], strict=True)],
    )


def _landmark_profiles(landmarks: pd.DataFrame) -> pd.DataFrame:
    """ID beside OOD accuracy at each landmark; ID is that of the main paper."""
    own = landmarks[(landmarks["task"] == TASK) & (landmarks["quantity"] == "accuracy")]
    own = own[own["exact"] == "yes"].rename(columns={"recipe": "mark"})
    inside = own[(own["split"] == "id") & (own["paper"] == PAPER)]
    outside = own[own["split"] == "ood"][[*ORIGIN, "model", "mark", "value"]]
    both = outside.merge(
        inside[["model", "mark", "value"]], on=["model", "mark"], suffixes=("", "_id")
    )
    return both.rename(columns={"value_id": "id"}).assign(
        ood_low=both["value"], ood_high=both["value"], size=pd.NA
    )[_PROFILE]


def _restored_values(edits: pd.DataFrame) -> pd.DataFrame:
    """One row per model and number of restored values that both splits have."""
    own = edits[edits["recipe"] == "values-top"].rename(columns={"index": "size"})
    key = [*ORIGIN, "model", "size"]
    both = own.pivot(index=key, columns="split", values="value").dropna().reset_index()
    return both.assign(mark="values", ood_low=both["ood"], ood_high=both["ood"])[_PROFILE]


def _directions(edits: pd.DataFrame) -> pd.DataFrame:
    """The one profile of edited directions: a range; its band is unknown."""
    own = edits[(edits["recipe"] == "directions") & (edits["quantity"] == "accuracy")]
    columns = own["split"] + own["bound"].map({"": "", "from": "_low", "to": "_high"})
    wide = own.assign(column=columns).pivot(
        index=[*ORIGIN, "model"], columns="column", values="value"
    )
    return wide.reset_index().assign(mark="directions", size=pd.NA)[_PROFILE]

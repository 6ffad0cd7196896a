# SPDX-License-Identifier: MIT
"""The papers' curves in the form of this study's tables, and drawn in its look.

Frames have the columns of `derotate.reporting.tables` where these exist, so that a figure draws
theirs as it draws ours; `model` is one column more. The papers have one run each: intervals are
Wilson's for independent problems, ours and not theirs, and say nothing about seeds. Attempts differ
too: theirs is success within five graded attempts on GeneralPoints, ours is pass@1.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from derotate.evidence.published import nearest_count
from derotate.evidence.statistics import wilson
from derotate.reporting.cells import POOLED
from derotate.reporting.drawing import points, records
from derotate.reporting.style import Role, canvas, colour, say, styled

PAPER: Final = "2509.12235"
NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"Llama-3.2-11B-Vision-Instruct": "LLaMA 11B", "Qwen2.5-7B-Instruct": "Qwen 7B"}
)
"""Models as they are named in a figure."""

# Marker and its face tell the models apart; colours keep their meaning.
_MARKERS: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {"Llama-3.2-11B-Vision-Instruct": ("o", None), "Qwen2.5-7B-Instruct": ("s", "white")}
)
_BESIDE: Final = 22
"""SFT steps by which a value after RL is drawn to the right of its start."""
_TASK: Final = "general_points"


def stages(published: pd.DataFrame) -> pd.DataFrame:
    """Accuracy at the papers' landmarks, in percent.

    Args:
        published: the subject `stages` of `derotate.evidence.published.load`.

    Returns:
        paper, model, task, split, landmark (max_ood, sft_end, rl_end), n, accuracy, low, high;
        printed values only, not those that a third party read.
    """
    own = published[(published["quantity"] == "accuracy") & (published["exact"] == "yes")]
    table = _with_intervals(own).rename(columns={"recipe": "landmark"})
    columns = ["paper", "model", "task", "split", "landmark", "n", "accuracy", "low", "high"]
    return table[columns].reset_index(drop=True)


def accuracy_by_step(curve: pd.DataFrame, landmarks: pd.DataFrame) -> pd.DataFrame:
    """GeneralPoints accuracy by SFT step, and after RL by the step that it started from.

    Where the papers give a sweep (LLaMA, OOD) it is that; elsewhere the landmarks at their steps.
    RL at the end of SFT is set at that step: the papers give no other start.

    Args:
        curve: the subject `accuracy_by_step` of `derotate.evidence.published.load`.
        landmarks: the subject `stages`.

    Returns:
        Columns of `tables.accuracy_by_step` and `model`: base_seed 0, seed `all`, stage (base, sft,
        rl), algorithm (empty or ppo), step, update 0, split, fold `test`, seeds 1, n, clusters (n),
        accuracy, low, high. The fold's name is ours: their ID problems are also training problems.
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
        "paper", "model", "base_seed", "seed", "stage", "algorithm", "step", "update", "split",
        "fold", "seeds", "n", "clusters", "accuracy", "low", "high",
    ]  # fmt: skip
    return table[columns].sort_values(["model", "split", "stage", "step"], ignore_index=True)


def losses(published: pd.DataFrame) -> pd.DataFrame:
    """Loss by SFT step of the released LLaMA log and of the second runs (nats a token).

    Args:
        published: the subject `losses` of `derotate.evidence.published.load`.

    Returns:
        model, split (train, id, ood), place, step, loss; single readings only.
    """
    own = published[(published["quantity"] == "loss") & (published["bound"] == "")]
    own = own[own["step"].notna()].rename(columns={"value": "loss"})
    return own[["model", "split", "place", "step", "loss"]].reset_index(drop=True)


def restored_values(published: pd.DataFrame) -> pd.DataFrame:
    """Accuracy after the top k singular values were restored; see the README for why to doubt it.

    Args:
        published: the subject `surgery` of `derotate.evidence.published.load`.

    Returns:
        model, split, size (values restored), accuracy, on_grid (is it a count of n?).
    """
    own = published[published["recipe"] == "values-top"]
    own = own.rename(columns={"index": "size", "value": "accuracy"})
    return own[["model", "split", "size", "accuracy", "on_grid"]].reset_index(drop=True)


def quotes(published: pd.DataFrame, claim: str) -> pd.DataFrame:
    """What the papers report on a claim, to stand beside our value in docs/reproducing.md.

    Args:
        published: from `derotate.evidence.published.load_all`.
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
                "what": _what(row),
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


def _what(row: Mapping[str, object]) -> str:
    """A number's name: quantity, then whatever tells it from its neighbours."""
    parts = [str(row["quantity"]).replace("_", " ")]
    parts += [str(row[name]) for name in ("split", "matrix", "recipe") if row[name]]
    parts += [f"{name} {row[name]}" for name in ("start", "step", "index") if pd.notna(row[name])]
    model = str(row["model"])
    return ", ".join([*parts, NAMES.get(model, model)] if model else parts)


@styled
def published_accuracy(accuracy: pd.DataFrame) -> Figure:
    """Their main result in the arrangement of `figures.sft_and_rl`: OOD left, ID right.

    Args:
        accuracy: from `accuracy_by_step` above.
    """
    figure, ((left, right),) = canvas(1, 2)
    theirs(left, accuracy, "ood")
    theirs(right, accuracy, "id")
    return figure


def theirs(axes: Axes, accuracy: pd.DataFrame, split: str) -> None:
    """One panel of the papers' accuracy by SFT step, with RL from each start, both models.

    To be drawn within `style.look()`, beside a panel of ours.

    Args:
        axes: an empty panel.
        accuracy: from `accuracy_by_step` above.
        split: `ood` or `id`.
    """
    own = accuracy[accuracy["split"] == split]
    where = {"ood": "out of distribution", "id": "in distribution"}[split]
    axes.set_title(f"Published, {where} (one run each)")
    if own.empty:
        say(axes, "no published value")
        return
    role: Role = "ood" if split == "ood" else "id"
    models = []
    for model, line in own.groupby("model", sort=True):
        _line_and_rl(axes, line, role, *_MARKERS[str(model)])
        marker, face = _MARKERS[str(model)]
        label = f"{NAMES[str(model)]}, n = {int(line['n'].iloc[0])}"
        models.append(
            Line2D([], [], color=colour(role), ls="", marker=marker, ms=4, mfc=face, label=label)
        )
    others = [Line2D([], [], color=colour("ppo"), marker="D", ls="", ms=4, label="after RL")]
    if (own["stage"] == "base").any():
        others.append(Line2D([], [], color=colour("base"), marker="o", ls="", ms=4, label="base"))
    others.append(Line2D([], [], color=colour(role), ls=":", lw=1, label="landmarks only"))
    last = accuracy["step"].max()
    axes.set(
        xlabel="SFT step",
        ylabel="accuracy (%)",
        xlim=(-0.05 * last, 1.07 * last),
        ylim=(0, own["high"].max() * 1.5),
    )
    axes.legend(handles=[*models, *others], loc="upper right", ncols=2, columnspacing=1.2)


def _is_sweep(line: pd.DataFrame) -> bool:
    """Whether there are more SFT steps than two landmarks, so that a line means something."""
    return int((line["stage"] == "sft").sum()) > 2


def _line_and_rl(axes: Axes, line: pd.DataFrame, role: Role, marker: str, face: str | None) -> None:
    """SFT with intervals; a thin line leads from each start to its value after RL."""
    sft = line[line["stage"] != "rl"].sort_values("step")
    style, width = ("-", 1.4) if _is_sweep(line) else (":", 1.0)
    axes.plot(sft["step"], sft["accuracy"], style, color=colour(role), lw=width)
    before = sft.set_index("step")["accuracy"]
    after = line[(line["stage"] == "rl") & line["step"].isin(before.index)]
    # Beside the start, so that both intervals can be seen.
    beside = after.assign(step=after["step"] + _BESIDE)
    for start, row in zip(after["step"], records(beside), strict=True):
        axes.plot(
            [start, row["step"]], [before[start], row["accuracy"]], color=colour("ppo"), lw=0.9
        )
    for some, shade, shape in (
        (sft[sft["stage"] == "sft"], role, marker),
        (sft[sft["stage"] == "base"], "base", marker),
        (beside, "ppo", "D"),
    ):
        points(axes, some, "accuracy", shade, shape)
        if face:
            axes.plot(
                some["step"], some["accuracy"], shape, color=colour(shade), ms=4, mfc=face, zorder=3
            )


def _landmarks_at_steps(landmarks: pd.DataFrame, known: set[tuple[str, str]]) -> pd.DataFrame:
    """Landmarks of GeneralPoints as rows of a sweep, for models and splits without one."""
    own = landmarks[(landmarks["task"] == _TASK) & (landmarks["paper"] == PAPER)]
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

    Rates that are no count of n (`on_grid` no) get the interval of the nearest count.
    """
    ends = [
        wilson(nearest_count(printed, int(n)).count, int(n))
        for printed, n in zip(own["printed"], own["n"], strict=True)
    ]
    return own.rename(columns={"value": "accuracy"}).assign(
        low=[min(100 * low, value) for (low, _), value in zip(ends, own["value"], strict=True)],
        high=[max(100 * high, value) for (_, high), value in zip(ends, own["value"], strict=True)],
    )

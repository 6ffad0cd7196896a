# SPDX-License-Identifier: MIT
"""Success of complete routes from the verdicts on their steps.

Only correct actions enter a history, and an episode ends at the first step that stays wrong. So a
rollout of a greedy model poses the problems of the route, each with the correct history, until it
ends. It succeeds if all steps are correct, and never reaches the steps after the first failure.
"""

from typing import Final

import pandas as pd

RULES: Final = {"id": "id", "ood": "ood", "ood_straight": "ood"}
"""Split -> whose routes it is a part of; `id_turns` only repeats steps of `id`."""

COLUMNS: Final = (
    "rule", "fold", "cluster", "route", "decoding", "draw", "steps", "passed", "reached", "success",
)  # fmt: skip

_NAME: Final = r"^[a-z_]+-(?P<route>n\d+-\d+)-(?P<step>\d+)of(?P<steps>\d+)$"


def route_success(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per route whose steps were all evaluated; incomplete routes are left out.

    The released code's accuracy by step is `passed.sum() / reached.sum()`: of the steps that a
    rollout reaches, not of all.

    Args:
        rows: an evaluation of one checkpoint, with the columns of `evaluation.evaluate`. For the
            OOD rule it takes both `ood` and `ood_straight`, and no suite may have a limit.

    Returns:
        Columns `COLUMNS`: the rule (id, ood), fold, cluster and route; the decoding and the draw of
        independent samples (else 0); the number of steps, of correct steps before the first wrong
        one (`passed`) and of steps that a rollout reaches (`reached`); whether the route succeeds.
        With attempts, a step is correct if one of them is.

    Raises:
        ValueError: a problem's name is not one of this task.
    """
    rows = rows[rows["split"].isin(RULES)]
    parts = rows["problem"].str.extract(_NAME)
    unknown = rows["problem"][parts["route"].isna()]
    if len(unknown):
        raise ValueError(
            f"problem {unknown.iloc[0]!r}: expected a step like 'id-n0017-3-4of7'; the rows are "
            "of another task"
        )
    steps = rows.assign(
        rule=rows["split"].map(RULES),
        route=parts["route"],
        step=parts["step"].astype(int),
        steps=parts["steps"].astype(int),
        draw=rows["attempt"].where(rows["decoding"] == "sample", 0),
    )
    of_route = ["rule", "fold", "cluster", "route", "decoding", "draw", "steps"]
    by_step = steps.groupby([*of_route, "step"], sort=True)["correct"].max().reset_index()
    by_step["passed"] = by_step.groupby(of_route)["correct"].cumprod()
    routes = by_step.groupby(of_route, sort=True)["passed"].agg(["size", "sum"]).reset_index()
    complete = routes[routes["size"] == routes["steps"]].rename(columns={"sum": "passed"})
    success = (complete["passed"] == complete["steps"]).astype(int)
    found = complete.assign(reached=complete["passed"] + 1 - success, success=success)
    return found[list(COLUMNS)].reset_index(drop=True)

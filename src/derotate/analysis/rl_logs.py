# SPDX-License-Identifier: MIT
"""Tables of RL logs, advantages and the budget.

Shares in the logs (0 to 1) become percent. None of these numbers has an interval: they describe the
batch of one update.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

_RUN = ["base_seed", "seed", "algorithm", "start"]
_SHARES = ["correct_share", "zero_variance_share"]


def rl_log(log: pd.DataFrame) -> pd.DataFrame:
    """The updates of all RL runs in order, shares in percent.

    Columns as logged: base_seed, seed, algorithm, start, update, loss, reward_mean, correct_share,
    entropy, kl_to_start, zero_variance_share, response_length.
    """
    shares = {name: 100 * log[name] for name in _SHARES}
    return log.assign(**shares).sort_values([*_RUN, "update"]).reset_index(drop=True)


def rl_first_update(log: pd.DataFrame) -> pd.DataFrame:
    """The signal of RL at its first update: correct samples and zero-variance groups, in percent.

    Columns: base_seed, seed, algorithm, start, update, correct_share, zero_variance_share,
    reward_mean, entropy.
    """
    columns = [*_RUN, "update", *_SHARES, "reward_mean", "entropy"]
    return _first_updates(rl_log(log))[columns].reset_index(drop=True)


def advantages_by_start(histograms: pd.DataFrame) -> pd.DataFrame:
    """Distribution of the advantages at the first update of each RL run, in percent of responses.

    Columns: base_seed, seed, algorithm, start, update, bin_low, bin_high, count, share.
    """
    first = _first_updates(histograms).sort_values([*_RUN, "bin_low"]).reset_index(drop=True)
    total = first.groupby(_RUN)["count"].transform("sum")
    return first.assign(share=100 * first["count"] / total)


def budget(costs: pd.DataFrame, minutes: Mapping[str, float]) -> pd.DataFrame:
    """The budget of each stage beside the time of its jobs.

    Args:
        costs: one row per job: stage, rule, seconds (wall time), max_rss_mb.
        minutes: budget by stage; a stage without one has an empty cell.

    Returns:
        Columns stage, budget_minutes, took_minutes (sum of the wall times of all jobs, so jobs that
        ran in parallel count in full), jobs, peak_memory_mb (of the largest job). Stages come in
        the order of `minutes`, then the others by name.
    """
    order = [*minutes, *sorted(set(costs["stage"]) - set(minutes))]
    took = costs.groupby("stage").agg(
        took_minutes=("seconds", lambda seconds: seconds.sum() / 60),
        jobs=("seconds", "size"),
        peak_memory_mb=("max_rss_mb", "max"),
    )
    table = took.reindex(order).rename_axis("stage").reset_index()
    table.insert(1, "budget_minutes", [minutes.get(stage, float("nan")) for stage in order])
    table["took_minutes"] = table["took_minutes"].fillna(0.0)
    table["jobs"] = table["jobs"].fillna(0).astype("int64")
    return table


def _first_updates(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["update"] == table.groupby(_RUN)["update"].transform("min")]

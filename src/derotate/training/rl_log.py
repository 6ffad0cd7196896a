# SPDX-License-Identifier: MIT
"""The log tables of an RL run: one row per update, and the histogram of its advantages.

GRPO and PPO write the same columns, so that their runs can be compared. Values are rounded to six
significant digits, more than they are known to, so that equal runs leave equal bytes.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from derotate.files.atomic import atomic_write

COLUMNS = (
    "update", "responses", "reward_mean", "correct_share", "zero_variance_share", "loss",
    "value_loss", "entropy", "kl_to_start", "response_length",
)  # fmt: skip
BIN_WIDTH = 0.25
EDGES = tuple(-3 + BIN_WIDTH * i for i in range(25))
"""Bin edges of the advantage histogram. In a group of 8, an advantage in units of the group's
standard deviation stays within 2.48."""


@dataclass(frozen=True)
class Update:
    """One update, measured before its optimizer steps.

    Attributes:
        update: counted from 1.
        reward_mean: over responses.
        correct_share: share of responses that earned the full reward.
        zero_variance_share: share of groups whose rewards are all equal; None without groups.
        loss: of the policy, mean over optimizer steps.
        value_loss: of the value head, mean over optimizer steps; None without one.
        entropy: of the next-token distribution, nats, mean over response tokens.
        kl_to_start: KL(policy || start), nats per token, over sampled responses.
        response_length: tokens, the end token included.
        advantages: one per response, as used in the loss.
    """

    update: int
    reward_mean: float
    correct_share: float
    zero_variance_share: float | None
    loss: float
    value_loss: float | None
    entropy: float
    kl_to_start: float
    response_length: float
    advantages: tuple[float, ...]


def correct_share(rewards: Sequence[float], correct_reward: float) -> float:
    """Share of responses that earned the full reward (partial credit is not correct)."""
    return sum(reward >= correct_reward for reward in rewards) / len(rewards)


def zero_variance_share(rewards: Sequence[float], group_size: int) -> float:
    """Share of groups without a learning signal: all responses of the group earned the same.

    Args:
        rewards: group by group.
        group_size: responses per group.
    """
    groups = [rewards[i : i + group_size] for i in range(0, len(rewards), group_size)]
    return sum(len(set(group)) == 1 for group in groups) / len(groups)


def histogram(advantages: Iterable[float]) -> list[int]:
    """Counts per bin, left edge included; values beyond EDGES count in the outermost bins."""
    counts = [0] * (len(EDGES) - 1)
    for advantage in advantages:
        # Rounded, so that the advantage in a group without variance is 0 and not just below it.
        index = bisect_right(EDGES, round(advantage, 6)) - 1
        counts[min(max(index, 0), len(counts) - 1)] += 1
    return counts


def write(updates: Sequence[Update], log: Path) -> None:
    """Write `log` and, beside it, `advantages.csv`, each atomically."""
    bins = [
        (row.update, EDGES[i], EDGES[i + 1], count)
        for row in updates
        for i, count in enumerate(histogram(row.advantages))
    ]
    _write_csv(
        log.with_name("advantages.csv"),
        ("update", "bin_low", "bin_high", "count"),
        bins,
    )
    _write_csv(log, COLUMNS, [_row(update) for update in updates])


def _row(update: Update) -> tuple[float | None, ...]:
    values = {**vars(update), "responses": len(update.advantages)}
    return tuple(values[column] for column in COLUMNS)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[float | None]]) -> None:
    with atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    # Adding 0.0 turns a negative zero into a plain one.
    return str(value) if isinstance(value, int) else f"{value + 0.0:.6g}"

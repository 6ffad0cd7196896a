# SPDX-License-Identifier: MIT
"""Ours and a baseline with the same output, timed in turn, and the table of the results.

The two alternate (A B A B ...), so that a slow phase of the machine affects both; medians are
compared. Both have the same dtype, threads, batches, cache and early stop, and their outputs are
compared in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

import pandas as pd

REPEATS = 5
THREADS = 1
"""Torch threads of both, as SFT, evaluation and surgery use in config/demo.yaml."""


@dataclass(frozen=True)
class Comparison:
    """Seconds per unit of work, ours and the baseline's, one value per repeat."""

    name: str
    baseline: str
    unit: str
    target: float
    ours_seconds: tuple[float, ...]
    baseline_seconds: tuple[float, ...]
    equal: bool
    """Whether both gave the same output in this run."""
    checked: str
    """What was compared."""

    @property
    def ratio(self) -> float:
        """Speed relative to the baseline, by medians; below 1 is slower."""
        return median(self.baseline_seconds) / median(self.ours_seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest ratio of neighbouring repeats."""
        ratios = [
            theirs / ours
            for ours, theirs in zip(self.ours_seconds, self.baseline_seconds, strict=True)
        ]
        return min(ratios), max(ratios)

    @property
    def met(self) -> bool:
        """Whether the target is reached and the outputs are equal."""
        return self.equal and self.ratio >= self.target


def alternate(
    ours: Callable[[int], float], baseline: Callable[[int], float], repeats: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds of both, in turn.

    Each callable gets the number of the repeat and times itself, so its preparation does not count.
    """
    pairs = [(ours(repeat), baseline(repeat)) for repeat in range(repeats)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def table(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """One row per comparison: target, measured ratio with its spread, whether it is met."""
    return pd.DataFrame(
        {
            "measurement": found.name,
            "baseline": found.baseline,
            "unit": found.unit,
            "ours_ms": 1000 * median(found.ours_seconds),
            "baseline_ms": 1000 * median(found.baseline_seconds),
            "target": found.target,
            "ratio": found.ratio,
            "lowest": found.spread[0],
            "highest": found.spread[1],
            "met": "yes" if found.met else "no",
            "equal": "yes" if found.equal else "no",
            "checked": found.checked,
        }
        for found in comparisons
    )


def show(comparison: Comparison) -> None:
    """Print one comparison in words."""
    low, high = comparison.spread
    print(
        f"{comparison.name}: {comparison.ratio:.3g} x {comparison.baseline} "
        f"({low:.3g} to {high:.3g}), target {comparison.target:g}: "
        f"{'met' if comparison.met else 'not met'}\n"
        f"  a {comparison.unit}: {1000 * median(comparison.ours_seconds):.3g} ms, "
        f"baseline {1000 * median(comparison.baseline_seconds):.3g} ms; "
        f"output {'equal' if comparison.equal else 'DIFFERS'}: {comparison.checked}",
        flush=True,
    )

# SPDX-License-Identifier: MIT
"""The choice of `max_ood`: by greedy accuracy on the OOD selection fold and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from derotate.files.atomic import atomic_write_text


def selection_scores(evaluations: Mapping[int, Path]) -> dict[int, float]:
    """Greedy OOD accuracy on the selection fold by SFT step, 0 to 1."""
    return {step: _score(pd.read_parquet(path)) for step, path in sorted(evaluations.items())}


def choose(evaluations: Mapping[int, Path], sft_end: int, out: Path) -> None:
    """Write the landmarks of a run as JSON; the earliest step wins a tie."""
    scores = selection_scores(evaluations)
    # The key breaks ties by the earlier step.
    best = max(scores, key=lambda step: (scores[step], -step))
    landmarks = {"max_ood": best, "sft_end": sft_end, "selection_scores": scores}
    atomic_write_text(out, json.dumps(landmarks, indent=2) + "\n")


def max_ood(landmarks: Path) -> int:
    """The step of `max_ood` in a landmarks file."""
    return int(json.loads(landmarks.read_text(encoding="utf-8"))["max_ood"])


def _score(rows: pd.DataFrame) -> float:
    greedy = rows.query("split == 'ood' and fold == 'selection' and decoding == 'greedy'")
    return float(greedy["correct"].mean())

# SPDX-License-Identifier: MIT
"""Files of many runs, read into one table each; base_seed and seed come from their paths."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from derotate.analysis import spectra as spectral
from derotate.study.checkpoint import evaluation_columns

INTEGERS = ("seed", "start", "step", "donor")
STATE_KEYS = ["base_seed", "seed", "pair", "split", "fold", "metric"]
WEIGHT_KEYS = ["base_seed", "seed", "pair", "against", "metric", "fraction"]

_RUN = re.compile(r".*/base-(\d+)/seed-(\d+)/")


def gather(evaluations: Sequence[Path]) -> pd.DataFrame:
    """The rows of many evaluations, each with the columns that name its checkpoint or edit."""
    parts = [pd.read_parquet(path).assign(**evaluation_columns(str(path))) for path in evaluations]
    rows = pd.concat([part.astype(dict.fromkeys(INTEGERS, "Int64")) for part in parts])
    return rows.reset_index(drop=True)


def read_landmarks(files: Sequence[Path], rl_end: tuple[str, int, int] | None) -> pd.DataFrame:
    """The landmarks, one row per run.

    Args:
        files: `landmarks.json` of each run.
        rl_end: algorithm, start and last update of the RL result, from the config; None without RL.
    """
    algorithm, start, step = rl_end or (None, None, None)
    return pd.DataFrame(
        [
            {
                **_run_of(path),
                "max_ood": known["max_ood"],
                "sft_end": known["sft_end"],
                "rl_end_algorithm": algorithm,
                "rl_end_start": start,
                "rl_end_step": step,
            }
            for path in files
            for known in [json.loads(path.read_text(encoding="utf-8"))]
        ]
    )


def _run_of(path: Path) -> dict[str, int]:
    match = _RUN.match(str(path))
    if match is None:
        raise ValueError(
            f"{path}: not a path of a run, expected <study>/base-<base_seed>/seed-<seed>/..."
        )
    return {"base_seed": int(match[1]), "seed": int(match[2])}


def concatenate(files: Sequence[Path]) -> pd.DataFrame:
    """RL tables, one row per update, with base_seed, seed, algorithm and start."""
    parts = [
        pd.read_csv(path).assign(
            **_run_of(path),
            algorithm=path.parent.parent.name,
            start=int(path.parent.name.removeprefix("from-")),
        )
        for path in files
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def edit_reports(files: Sequence[Path]) -> pd.DataFrame:
    """Size of each edit and its distance from a rollback, one row per edit."""
    table = pd.DataFrame(
        [
            {
                **_run_of(path),
                "operation": path.parent.name,
                **json.loads(path.read_text(encoding="utf-8")),
            }
            for path in files
        ]
    )
    if len(table):
        table["norm_over_donor_distance"] = table["edit_norm"] / table["donor_distance"]
        table["from_rollback_over_donor_distance"] = (
            table["from_rollback"] / table["donor_distance"]
        )
    return table


def banded_spectra(files: Sequence[Path]) -> pd.DataFrame:
    """Spectral metrics of all pairs by band of indices, see `derotate.analysis.spectra.banded`.

    Files are read one by one: all of a study together take a gigabyte of memory.
    """
    parts = [spectral.banded(pair_of(path)) for path in files]
    if not parts:
        return pd.DataFrame(columns=list(spectral.BANDED_COLUMNS))
    return pd.concat(parts, ignore_index=True).sort_values(list(spectral.BANDED_KEYS))


def spectra_by_index(files: Sequence[Path], landmarks: pd.DataFrame) -> pd.DataFrame:
    """Spectra of the pairs max_ood to sft_end, see `derotate.analysis.spectra.by_index`."""
    wanted = {
        (run["base_seed"], run["seed"], f"from-sft-{run['max_ood']}-to-sft-{run['sft_end']}")
        for run in landmarks.to_dict("records")
    }
    parts = [pair_of(path) for path in files if (*_run_of(path).values(), path.stem) in wanted]
    if not parts:
        return pd.DataFrame(columns=list(spectral.BY_INDEX_COLUMNS))
    return spectral.by_index(pd.concat(parts, ignore_index=True))


def pair_of(path: Path) -> pd.DataFrame:
    """The long spectral table of a pair of checkpoints, with its run and name."""
    return pd.read_parquet(path).assign(**_run_of(path), pair=path.stem.removeprefix("from-"))


def states_table(files: Sequence[Path]) -> pd.DataFrame:
    """Similarity of the landmarks' hidden states and next tokens, and forward KL from the base."""
    columns = [*STATE_KEYS, "value", "low", "high", "n", "p"]
    parts = [pd.read_parquet(path).assign(**_run_of(path)) for path in files]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def weights_table(files: Sequence[Path]) -> pd.DataFrame:
    """Changes of weights between landmarks: mean and range over matrices, and their nulls."""
    parts = [pd.read_parquet(path).assign(**_run_of(path)) for path in files]
    if not parts:
        return pd.DataFrame(columns=[*WEIGHT_KEYS, "value", "low", "high"])
    rows = pd.concat(parts)
    measured = set(rows[rows["against"] == "patient"]["metric"])
    rows = rows[rows["metric"].isin(measured) & (rows["index"] == -1)]
    grouped = rows.groupby(WEIGHT_KEYS, dropna=False)["value"]
    return grouped.agg(value="mean", low="min", high="max").reset_index()

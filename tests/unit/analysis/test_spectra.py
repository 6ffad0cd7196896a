# SPDX-License-Identifier: MIT
"""Small spectral tables: bands that claims ask for, courses by index that figures draw."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derotate.analysis.spectra import banded, by_index
from derotate.claims.cells import MissingCells
from derotate.claims.spectral_statistics import Spectral
from derotate.files import tables as files
from derotate.stages.run_files import banded_spectra, spectra_by_index

PAIR = "sft-4-to-sft-8"
RUN = {"base_seed": 1, "seed": 3, "max_ood": 4, "sft_end": 8, "rl_end_start": None}


def course(
    metric: str, layers: Sequence[Sequence[float]], *, kind: str = "q", fraction: float = np.nan,
    against: str = "patient", seed: int = 3, pair: str = PAIR,
) -> pd.DataFrame:  # fmt: skip
    """A metric by index of the layers of one kind of matrix, in the form of the long tables."""
    rows = [
        {"matrix": f"{layer}.{kind}", "layer": layer, "kind": kind, "against": against,
         "metric": metric, "fraction": fraction, "index": index, "value": number,
         "base_seed": 1, "seed": seed, "pair": pair}
        for layer, numbers in enumerate(layers)
        for index, number in enumerate(numbers)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def bands(table: pd.DataFrame, column: str) -> dict[str, float]:
    return dict(zip(table["band"], table[column], strict=True))


def test_bands_of_a_metric_are_means_over_layers_and_indices() -> None:
    table = banded(course("left_angle", [[*range(10)], [10, *range(1, 10)]]))
    assert bands(table, "value") == {
        "all": 5.0,
        "top": (5 + 1) / 2,
        "outer": (5 + 9) / 2 - np.mean(range(1, 9)),
    }


def test_the_largest_change_is_that_of_any_layer_whatever_its_sign() -> None:
    table = banded(course("value_change", [[0.1] * 10, [-0.3] * 10]))
    assert bands(table, "value")["top"] == pytest.approx(-0.1)
    assert bands(table, "largest") == pytest.approx({"all": 0.3, "top": 0.3, "outer": 0.0})


def test_an_order_of_rows_changes_no_band() -> None:
    rows = course("right_angle", [[*range(20)]])
    shuffled = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(banded(shuffled), banded(rows))


def test_principal_angles_and_single_numbers_have_no_bands() -> None:
    rows = pd.concat(
        [
            course("left_principal_angle", [[1, 2, 3]], fraction=0.2),
            course("relative_norm", [[0.1]]).assign(index=-1),
            course("donor_value", [[3, 2, 1]]),
        ]
    )
    assert banded(rows)[["metric", "band"]].to_numpy().tolist() == [
        ["left_principal_angle", "all"],
        ["relative_norm", "all"],
    ]


def test_unrelated_matrices_are_a_null_of_angles_alone() -> None:
    rows = [
        course(metric, [[1.0] * 10], against="unrelated_null")
        for metric in ("value_change", "left_angle", "relative_norm")
    ]
    assert set(banded(pd.concat(rows))["metric"]) == {"left_angle"}


def test_a_statistic_of_a_run_is_what_the_long_table_gives() -> None:
    rng = np.random.default_rng(0)
    parts = {
        (kind, metric, against): rng.normal(size=(4, 50))
        for kind in ("q", "up")
        for metric in ("left_angle", "right_angle")
        for against in ("patient", "norm_null")
    }
    long = pd.concat(
        course(metric, numbers.tolist(), kind=kind, against=against)
        for (kind, metric, against), numbers in parts.items()
    )
    statistic = Spectral(
        kind="spectral", metrics=("left_angle", "right_angle"), pair=("max_ood", "sft_end"),
        minus_against="norm_null", band="outer", scale=10,
    )  # fmt: skip

    def outer(numbers: np.ndarray) -> float:
        means = numbers.mean(axis=0)
        ends = np.concatenate([means[:5], means[-5:]])
        return float(ends.mean() - means[5:-5].mean())

    expected = np.mean(
        [outer(numbers) - outer(parts[kind, metric, "norm_null"])
         for (kind, metric, against), numbers in parts.items() if against == "patient"]
    )  # fmt: skip
    found = statistic.value({"spectra": banded(long)}, RUN)
    assert found == pytest.approx(10 * expected)


def test_a_fraction_that_was_not_measured_is_named() -> None:
    tables = {"spectra": banded(course("left_principal_angle", [[1, 2]], fraction=0.05))}
    asked = {"kind": "spectral", "metrics": ("left_principal_angle",),
             "pair": ("max_ood", "sft_end")}  # fmt: skip
    assert Spectral(**asked, fraction=0.05).value(tables, RUN) == 1.5
    with pytest.raises(MissingCells, match=r"left_principal_angle at fraction 0\.2"):
        Spectral(**asked, fraction=0.2).value(tables, RUN)


def test_runs_are_pooled_by_index_with_the_range_of_their_layers() -> None:
    first = course("value_change", [[0.1, 0.2], [0.3, 0.2]], seed=1)
    second = course("value_change", [[0.4, -0.5], [0.4, -0.7]], seed=2)
    table = by_index(pd.concat([first, second]))
    assert table["runs"].tolist() == [2, 2]
    assert table["value"].tolist() == pytest.approx([0.3, -0.2])
    assert table["low"].tolist() == [0.1, -0.7]
    assert table["high"].tolist() == [0.4, 0.2]


def test_only_what_is_drawn_is_kept_by_index() -> None:
    parts = [
        course(metric, [[1 / 3]], against=against)
        for metric in ("donor_value", "value_change", "left_angle", "relative_norm")
        for against in ("patient", "norm_null")
    ]
    table = by_index(pd.concat(parts))
    assert set(zip(table["metric"], table["against"], strict=True)) == {
        ("donor_value", "patient"),
        ("value_change", "patient"),
        ("value_change", "norm_null"),
    }
    assert set(table["value"]) == {0.33333}


def test_the_tables_of_a_study_come_from_the_files_of_its_pairs(tmp_path: Path) -> None:
    paths = []
    for seed, pair in ((1, PAIR), (2, "sft-2-to-sft-8"), (2, PAIR)):
        path = tmp_path / f"base-1/seed-{seed}/spectra/from-{pair}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = course("value_change", [[float(len(paths))] * 10])
        rows.drop(columns=["base_seed", "seed", "pair"]).to_parquet(path)
        paths.append(path)
    ends = pd.DataFrame({"base_seed": [1, 1], "seed": [1, 2], "max_ood": [4, 2], "sft_end": 8})
    courses = spectra_by_index(paths, ends)
    assert (courses["runs"].unique(), courses["value"].unique()) == ([2], [0.5])
    files.write(banded_spectra(paths), tmp_path / "spectra.csv")
    table = pd.read_csv(tmp_path / "spectra.csv").query("band == 'all'")
    assert table[["seed", "pair", "value"]].to_numpy().tolist() == [
        [1, PAIR, 0.0],
        [2, "sft-2-to-sft-8", 1.0],
        [2, PAIR, 2.0],
    ]


def test_a_study_without_spectra_has_empty_tables() -> None:
    nothing = pd.DataFrame({"base_seed": [1], "seed": [1], "max_ood": [4], "sft_end": [8]})
    assert banded_spectra([]).empty
    assert spectra_by_index([], nothing).empty

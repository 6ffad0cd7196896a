# SPDX-License-Identifier: MIT
"""A run beside the reference: what agrees, what differs, and how often honest runs seem to."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner, Result

from derotate.analysis.table_schemas.evaluations import CONTRASTS
from derotate.claims.reference_agreement import AgreementError, agreement
from derotate.cli import app

SUITE = {"split": "ood", "fold": "test"}
ALL = "all"


def rows(
    values: Sequence[float], half: float, *, base: int = 1, seeds: Sequence[int] = (1, 2, 3),
    clip: float = 100.0,
) -> list[dict[str, object]]:  # fmt: skip
    """A value for each seed of a base and their mean, each with an interval of this half-width."""
    pairs = [*zip(map(str, seeds), values, strict=True), (ALL, float(np.mean(values)))]
    return [
        {"base_seed": base, "seed": seed, "seeds": len(values) if seed == ALL else 1,
         "value": value, "low": value - half, "high": min(value + half, clip)}
        for seed, value in pairs
    ]  # fmt: skip


def study(
    folder: Path, effects: dict[str, list[dict[str, object]]], verdicts: str = "supported"
) -> Path:
    """The three tables of a study; an effect is a split in `stages` and a contrast."""
    folder.mkdir(parents=True, exist_ok=True)
    named = [{"name": name, **SUITE, **row} for name, own in effects.items() for row in own]
    table = pd.DataFrame(named)
    stages = table.drop(columns="split").rename(columns={"name": "split", "value": "accuracy"})
    stages.assign(landmark="sft_end").to_csv(folder / "stages.csv", index=False)
    contrasts = table.rename(columns={"name": "contrast", "value": "points"})
    contrasts.assign(direction="", treatment="a", reference="b").to_csv(
        folder / "contrasts.csv", index=False
    )
    claims = {"claim": [f"C{place}" for place in range(1, len(verdicts.split(",")) + 1)]}
    pd.DataFrame({**claims, "verdict": verdicts.split(",")}).to_csv(
        folder / "claims.csv", index=False
    )
    return folder


def derotate(*arguments: str | Path) -> Result:
    # wide enough that no line of a table is folded
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "120"})


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return study(tmp_path / "reference", {"forgot": rows([10, 12, 14], 2.0)})


@pytest.mark.parametrize("exact", [False, True])
def test_a_study_agrees_with_itself_to_the_digit(reference: Path, exact: bool) -> None:
    found = agreement(reference, reference, exact=exact)
    assert found["equal"].all() and found["within"].all()
    assert derotate(reference, "--reference", reference, *["--exact"] * exact).exit_code == 0


def test_the_last_digit_counts_only_where_equality_is_asked_for(
    tmp_path: Path, reference: Path
) -> None:
    other = study(tmp_path / "new", {"forgot": rows([10.0001, 12, 14], 2.0)})
    assert agreement(other, reference)["within"].all()
    exact = agreement(other, reference, exact=True)
    assert not exact[exact["seed"] == "1"]["within"].any()
    assert exact[exact["seed"] == "2"]["within"].all()
    assert derotate(other, "--reference", reference, "--exact").exit_code == 1


def test_one_number_far_out_is_found_and_named(tmp_path: Path, reference: Path) -> None:
    new = study(tmp_path / "new", {"forgot": rows([10, 12, 14], 2.0)})
    table = pd.read_csv(new / "contrasts.csv", dtype=str)
    table.loc[table["seed"] == ALL, ["points", "low", "high"]] = ["80", "78", "82"]
    table.to_csv(new / "contrasts.csv", index=False)
    result = derotate(new, "--reference", reference)
    assert result.exit_code == 1
    assert "in 1 decisive rows" in result.stdout
    line = next(line for line in result.stdout.splitlines() if line.endswith("NO"))
    assert line.split() == ["forgot", "a", "b", "ood", "test", "1", "all", "80.00", "12.00",
                            "+68.00", line.split()[-2], "NO"]  # fmt: skip


def test_a_tolerance_joins_facing_ends_and_the_spread_of_seeds(tmp_path: Path) -> None:
    old = study(tmp_path / "old", {"forgot": rows([10, 12, 14], 2.0)})
    new = study(tmp_path / "new", {"forgot": rows([11, 15], 3.0, seeds=(7, 8), clip=14.0)})
    found = agreement(new, old)
    row = found[(found["table"] == "stages")].iloc[0]
    assert (row["value"], row["reference"], row["seed"]) == (13, 12, ALL)
    # 13 down to 10 and 12 up to 14; seeds vary by (8 + 8) / (2 + 1) with 3 degrees of freedom
    between = stats.t.isf(0.025, 3) ** 2 * (16 / 3) * (1 / 2 + 1 / 3)
    widening = stats.norm.isf(0.025 / 2) / stats.norm.isf(0.025)
    assert row["tolerance"] == pytest.approx(widening * np.sqrt(3**2 + 2**2 + between))


def test_other_seeds_are_compared_where_they_are_pooled(tmp_path: Path, reference: Path) -> None:
    other = study(tmp_path / "new", {"forgot": rows([11, 13], 2.0, seeds=(1, 9))})
    assert set(agreement(other, reference)["seed"].dropna()) == {ALL}


@pytest.mark.slow
def test_honest_studies_seem_to_differ_in_at_most_a_twentieth_of_cases(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    differing = shifted = 0
    for case in range(60):
        truth = rng.uniform(30, 60, 15)

        def one(name: str, seeds: Sequence[int], shift: float, truth: np.ndarray = truth) -> Path:
            effects = {
                name: rows(mean + rng.normal(0, 2.5, 5) + rng.normal(0, 1), 2.0, seeds=seeds)
                for name, mean in zip(CONTRASTS, truth + shift, strict=False)
            }
            return study(tmp_path / name, effects)

        old, new = one("old", range(5), 0), one("new", range(5, 10), 0)
        differing += not agreement(new, old)["within"].all()
        if case < 10:
            shifted += not agreement(one("far", range(5), 15), old)["within"].all()
    assert differing <= 3
    assert shifted == 10


def test_a_contrast_that_no_claim_reads_is_shown_but_decides_nothing(tmp_path: Path) -> None:
    kept = {"forgot": rows([10, 12, 14], 2.0)}
    sides = []
    for name, value in (("new", 50.0), ("old", 0.0)):
        side = study(tmp_path / name, kept)
        table = pd.read_csv(side / "contrasts.csv")
        other = table.assign(contrast="over_donor", points=value, low=value - 1, high=value + 1)
        pd.concat([table, other]).to_csv(side / "contrasts.csv", index=False)
        sides.append(side)
    found = agreement(*sides).query("table == 'contrasts'").set_index("row")
    assert "C1" in found.loc["forgot a b ood test", "claims"].iloc[0].split()
    assert not found.loc["over_donor a b ood test", "within"].any()
    result = derotate(sides[0], "--reference", sides[1])
    assert result.exit_code == 0
    assert "0 of 4 decisive rows out of tolerance, 4 of the other rows" in result.stdout
    assert derotate(sides[0], "--reference", sides[1], "--exact").exit_code == 1


def test_one_seed_leaves_the_spread_of_seeds_unknown(tmp_path: Path) -> None:
    old = study(tmp_path / "old", {"forgot": rows([10], 2.0, seeds=(1,))})
    new = study(tmp_path / "new", {"forgot": rows([12], 2.0, seeds=(2,))})
    row = agreement(new, old).iloc[0]
    widening = stats.norm.isf(0.025 / 2) / stats.norm.isf(0.025)
    assert row["tolerance"] == pytest.approx(widening * np.sqrt(8))


@pytest.mark.parametrize(
    ("new", "old", "agrees"),
    [
        ("supported", "contradicted", False),
        ("contradicted", "supported", False),
        ("undecided", "supported", True),
        ("contradicted", "not testable", True),
        ("supported", "supported", True),
    ],
)
def test_only_opposite_verdicts_disagree(tmp_path: Path, new: str, old: str, agrees: bool) -> None:
    effects = {"forgot": rows([31, 32, 33], 2.0)}
    sides = study(tmp_path / "new", effects, new), study(tmp_path / "old", effects, old)
    assert agreement(*sides)["within"].all() == agrees
    assert agreement(*sides, exact=True)["within"].all() == (new == old)


def test_claims_keep_their_order(tmp_path: Path, reference: Path) -> None:
    effects = {"forgot": rows([31, 32, 33], 1.0)}
    many = study(tmp_path / "new", effects, ",".join(["undecided"] * 11))
    found = agreement(many, many)
    assert found["row"].tolist()[-11:] == [f"C{number}" for number in range(1, 12)]


def test_rows_of_one_side_are_counted_and_fail_only_where_equality_is_asked_for(
    tmp_path: Path, reference: Path
) -> None:
    effects = {"forgot": rows([10, 12, 14], 2.0), "rl_gain": rows([31, 32, 33], 2.0)}
    wider = study(tmp_path / "new", effects)
    result = derotate(wider, "--reference", reference)
    assert result.exit_code == 0
    assert "4 only in the new run" in result.stdout
    assert derotate(wider, "--reference", reference, "--exact").exit_code == 1


def test_all_rows_go_to_a_file(tmp_path: Path, reference: Path) -> None:
    out = tmp_path / "all.csv"
    result = derotate(reference, "--reference", reference, "--rows", "1", "--out", out)
    assert result.exit_code == 0
    table = pd.read_csv(out)
    assert table["table"].value_counts().to_dict() == {"stages": 4, "contrasts": 4, "claims": 1}


@pytest.mark.parametrize("name", ["stages", "contrasts", "claims"])
def test_a_missing_table_or_column_is_one_line(tmp_path: Path, reference: Path, name: str) -> None:
    new = study(tmp_path / "new", {"forgot": rows([10, 12, 14], 2.0)})
    column = {"stages": "accuracy", "contrasts": "high", "claims": "verdict"}[name]
    file = new / f"{name}.csv"
    pd.read_csv(file).drop(columns=column).to_csv(file, index=False)
    for expected in (f"{name}.csv: no column {column}", f"{name}.csv: no such table"):
        result = derotate(new, "--reference", reference)
        assert result.exit_code == 2
        assert expected in result.stderr
        assert len(result.stderr.splitlines()) == 1
        file.unlink(missing_ok=True)


def test_a_study_of_other_bases_cannot_be_compared(tmp_path: Path, reference: Path) -> None:
    other = study(tmp_path / "new", {"forgot": rows([10, 12, 14], 2.0, base=5)})
    with pytest.raises(AgreementError, match=r"has 5 and the reference 1"):
        agreement(other, reference)


def test_an_impossible_table_is_refused(tmp_path: Path, reference: Path) -> None:
    other = study(tmp_path / "new", {"forgot": rows([10, 12, 140], 2.0)})
    result = derotate(other, "--reference", reference)
    assert result.exit_code == 2
    assert "column points: got 140" in result.stderr

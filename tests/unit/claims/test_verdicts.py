# SPDX-License-Identifier: MIT
"""Verdicts from small tables: what decides a claim, what leaves it open, what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derotate.analysis.table_schemas.reading import read_tables
from derotate.claims.cells import Tables
from derotate.claims.schema import Claim, load_claims
from derotate.claims.verdicts import COLUMNS, parts_table, verdicts

DEMO = Path(__file__).parents[3] / "results" / "reference" / "demo"
SUITE = {"split": "ood", "fold": "test"}


def study(standard_error: float = 1.0, **effects: list[list[float]]) -> dict[str, pd.DataFrame]:
    """Contrasts and landmarks: for each contrast a list of effects for each base."""
    rows = []
    for contrast, bases in effects.items():
        for base, values in enumerate(bases, start=1):
            named = [(str(seed), value) for seed, value in enumerate(values)]
            for seed, points in [*named, ("all", float(np.mean(values)))]:
                rows.append(
                    {"base_seed": base, "seed": seed, "contrast": contrast, "treatment": "edit",
                     **SUITE, "n": 956, "clusters": 478, "points": points,
                     "standard_error": standard_error}
                )  # fmt: skip
    table = pd.DataFrame(rows)
    runs = table.loc[table["seed"] != "all", ["base_seed", "seed"]].drop_duplicates()
    return {"contrasts": table, "landmarks": runs.assign(max_ood=40, sft_end=600)}


def claim(*parts: dict[str, object], **fields: object) -> Claim:
    return Claim.model_validate(
        {"id": "C1", "title": "t", "statement": "s", "source": "x", "needs": ["y"],
         "parts": [{"label": f"part {i}", **part} for i, part in enumerate(parts)], **fields}
    )  # fmt: skip


def part(contrast: str, test: str = "more", **fields: object) -> dict[str, object]:
    return {"statistic": {"terms": [{"where": {"contrast": contrast, **SUITE}}]}, "test": test,
            **fields}  # fmt: skip


def verdict(tables: Tables, *parts: dict[str, object], **fields: object) -> pd.Series:
    return verdicts([claim(*parts, **fields)], tables).iloc[0]


LOST = [[9.0, 10.5, 8.0], [11.0, 9.5, 10.0]]
SMALL = [[0.2, -0.3, 0.1], [0.0, 0.4, -0.2]]


@pytest.mark.parametrize(
    ("effects", "test", "expected"),
    [
        (LOST, {}, "supported"),
        (LOST, {"threshold": 5}, "supported"),
        (LOST, {"null_value": 20}, "contradicted"),
        (LOST, {"threshold": 15}, "contradicted"),
        (LOST, {"test": "less"}, "contradicted"),
        (LOST, {"test": "less", "null_value": 20}, "supported"),
        (SMALL, {}, "undecided"),
        (SMALL, {"threshold": 5}, "contradicted"),
        (SMALL, {"test": "equivalent", "margin": 2}, "supported"),
        (LOST, {"test": "equivalent", "margin": 2}, "contradicted"),
        ([[1.9, 2.2], [2.1, 1.7]], {"test": "equivalent", "margin": 2}, "undecided"),
    ],
)
def test_a_claim_can_hold_fail_or_stay_open(
    effects: list[list[float]], test: dict[str, object], expected: str
) -> None:
    tables = study(standard_error=0.5, forgot=effects)
    assert verdict(tables, part("forgot", **test))["verdict"] == expected


def test_bases_that_disagree_decide_nothing() -> None:
    tables = study(standard_error=0.1, forgot=[[20.0, 20.1, 20.2], [-0.5, -0.6, -0.4]])
    found = verdict(tables, part("forgot"))
    assert found["p"] < 0.001
    assert found["verdict"] == "undecided"
    assert "disagree" in found["reason"]


def test_one_refuted_part_contradicts_and_is_named() -> None:
    tables = study(standard_error=0.5, forgot=LOST, rl_gain=[[-5.0, -6.0], [-5.5, -6.5]])
    tables["contrasts"] = tables["contrasts"][tables["contrasts"]["seed"] != "2"]
    tables["landmarks"] = tables["landmarks"][tables["landmarks"]["seed"] != "2"]
    found = verdict(tables, part("forgot"), part("rl_gain"))
    assert (found["verdict"], found["part"]) == ("contradicted", "part 1")


def test_all_parts_must_hold() -> None:
    tables = study(standard_error=0.5, forgot=LOST, rl_gain=SMALL)
    found = verdict(tables, part("forgot"), part("rl_gain"))
    assert (found["verdict"], found["part"]) == ("undecided", "part 1")


def test_the_interval_holds_the_null_exactly_when_p_says_so() -> None:
    for shift in np.linspace(0, 6, 25):
        effects = [[shift - 2, shift, shift + 2], [shift - 1, shift + 1, shift]]
        found = parts_table([claim(part("forgot"))], study(forgot=effects)).iloc[0]
        assert (found["low"] > 0) == (found["p_for"] < 0.05)


def test_an_open_claim_says_how_many_runs_would_decide_it() -> None:
    tables = study(standard_error=0.3, forgot=[[4.0, 0.5, 3.0], [1.0, 5.0, -0.5]])
    found = verdict(tables, part("forgot", null_value=0.5))
    assert found["verdict"] == "undecided"
    assert found["runs_needed"] > found["runs"] == 6
    assert f"about {found['runs_needed']} runs" in found["reason"]


def test_a_ratio_is_decided_only_where_something_was_lost() -> None:
    ratio = {"kind": "ratio", "numerator": [{"where": {"contrast": "gain", **SUITE}}],
             "denominator": [{"where": {"contrast": "forgot", **SUITE}}]}  # fmt: skip
    asked = {"statistic": ratio, "test": "more", "threshold": 0.5}
    gain = [[6.0, 7.0, 6.5], [7.5, 6.0, 7.0]]
    kept = verdict(study(standard_error=0.5, gain=gain, forgot=LOST), asked)
    assert kept["verdict"] == "supported"
    assert kept["low"] < kept["effect"] < kept["high"]
    nothing = verdict(study(standard_error=0.5, gain=gain, forgot=SMALL), asked)
    assert nothing["verdict"] == "undecided"
    assert np.isinf(nothing["high"])


def test_below_the_floor_a_claim_is_not_testable() -> None:
    floor = {"label": "points lost", "at_least": 2,
             "statistic": {"terms": [{"where": {"contrast": "forgot", **SUITE}}]}}  # fmt: skip
    tables = study(forgot=SMALL, rl_gain=LOST)
    found = verdict(tables, part("rl_gain"), floors=[floor])
    assert found["verdict"] == "not testable"
    assert "points lost is 0.0" in found["reason"]


def test_missing_cells_are_named_and_leave_the_claim_undecided() -> None:
    tables = study(forgot=LOST)
    table = tables["contrasts"]
    tables["contrasts"] = table[(table["base_seed"] != 2) | (table["seed"] != "1")]
    found = verdict(tables, part("forgot"))
    assert found["verdict"] == "undecided"
    assert "contrasts.csv: forgot ood test, base 2 seed 1" in found["reason"]


def test_each_start_of_rl_is_a_part_of_its_own() -> None:
    tables = study(standard_error=0.5, over=LOST)
    other = tables["contrasts"].assign(treatment="other", points=-1.0)
    tables["contrasts"] = pd.concat([tables["contrasts"], other])
    term = {"where": {"contrast": "over", "treatment": "*", **SUITE}}
    asked = claim({"statistic": {"terms": [term]}, "test": "less", "null_value": 2})
    assert list(parts_table([asked], tables)["part"]) == ["part 0 (edit)", "part 0 (other)"]
    assert verdicts([asked], tables)["verdict"].item() == "contradicted"


def test_a_claim_may_name_the_end_of_rl() -> None:
    tables = study(standard_error=0.5, over=LOST)
    tables["contrasts"] = tables["contrasts"].assign(treatment="rl-grpo-600")
    term = {"where": {"contrast": "over", "treatment": "{rl_end}", **SUITE}}
    asked = {"statistic": {"terms": [term]}, "test": "more"}
    assert "landmark rl_end" in verdict(tables, asked)["reason"]
    ends = {"rl_end_algorithm": "grpo", "rl_end_start": 600, "rl_end_step": 30}
    named = tables | {"landmarks": tables["landmarks"].assign(**ends)}
    assert verdict(named, asked)["verdict"] == "supported"


def test_a_claim_that_fits_several_rows_of_a_run_is_refused() -> None:
    tables = study(over=LOST)
    table = tables["contrasts"]
    tables["contrasts"] = pd.concat([table, table.assign(treatment="other")])
    with pytest.raises(ValueError, match="several rows"):
        verdict(tables, part("over"))


def test_a_lost_claim_makes_the_others_no_easier() -> None:
    claims = [claim(part("forgot"), primary=True).model_copy(update={"id": f"C{i}"})
              for i in (1, 2, 3)]  # fmt: skip
    absent = claim(part("absent"), primary=True).model_copy(update={"id": "C3"})
    tables = study(forgot=[[4.0, 2.0, 6.0], [3.0, 5.0, 4.5]])
    both = verdicts(claims, tables)["p_adjusted"].iloc[0]
    without = verdicts([*claims[:2], absent], tables)["p_adjusted"].iloc[0]
    assert without == pytest.approx(both)
    assert both == pytest.approx(3 * verdicts(claims, tables)["p"].iloc[0])


# --- the committed tables of the demo -------------------------------------------------------------


@pytest.fixture(scope="module")
def demo() -> dict[str, pd.DataFrame]:
    return read_tables(DEMO)


def test_every_claim_has_one_row_on_the_demo(demo: dict[str, pd.DataFrame]) -> None:
    found = verdicts(load_claims(), demo)
    assert list(found.columns) == COLUMNS
    assert list(found["claim"]) == [f"C{number}" for number in range(1, 20)]
    assert found["reason"].str.len().gt(0).all()
    assert set(found.loc[found["claim"].isin(["C17", "C18"]), "verdict"]) == {"not testable"}


def test_effects_of_the_demo_are_means_over_its_runs(demo: dict[str, pd.DataFrame]) -> None:
    found = parts_table(load_claims(), demo).set_index("part").loc["values of the top fifth"]
    table = demo["contrasts"]
    where = {"contrast": "over_patient", "direction": "forward", "treatment": "values-top20"}
    for column, value in (where | SUITE).items():
        table = table[table[column] == value]
    runs = table[table["seed"] != "all"]
    assert found["effect"] == pytest.approx(runs.groupby("base_seed")["points"].mean().mean())
    assert (found["runs"], found["n"]) == (len(runs), runs["n"].min())


@pytest.mark.parametrize("name", [None, "landmarks", "contrasts", "accuracy_by_step", "stages"])
def test_no_claim_vanishes_with_a_table(demo: dict[str, pd.DataFrame], name: str | None) -> None:
    left = {} if name is None else {key: table for key, table in demo.items() if key != name}
    found = verdicts(load_claims(), left)
    assert len(found) == 19
    if name in (None, "landmarks"):
        assert not found["verdict"].isin(["supported", "contradicted"]).any()


@pytest.mark.parametrize("column", ["seed", "contrast", "points", "treatment", "split"])
def test_no_claim_vanishes_with_a_column(demo: dict[str, pd.DataFrame], column: str) -> None:
    cut = demo | {"contrasts": demo["contrasts"].drop(columns=column)}
    found = verdicts(load_claims(), cut).set_index("claim")
    assert len(found) == 19
    assert f"contrasts.csv: column {column}" in found.loc["C11", "reason"]


def test_empty_tables_leave_everything_undecided(demo: dict[str, pd.DataFrame]) -> None:
    found = verdicts(load_claims(), {name: table.iloc[:0] for name, table in demo.items()})
    assert set(found["verdict"]) == {"undecided", "not testable"}


# --- tables that cannot be true -------------------------------------------------------------------


def spoiled(tmp_path: Path, name: str, column: str, value: object, row: int) -> Path:
    """The demo's table with one field changed in a row, the header being row 1."""
    table = pd.read_csv(DEMO / f"{name}.csv", dtype=str, keep_default_na=False)
    table.loc[row - 2, column] = str(value)
    table.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("accuracy_by_step", "accuracy", 100.5),
        ("accuracy_by_step", "low", -3),
        ("stages", "accuracy", 250),
        ("errors_by_step", "share", -0.1),
        ("contrasts", "points", -101),
        ("contrasts", "equivalence_p", 1.2),
        ("rl_first_update", "correct_share", 120),
        ("picks", "regret", "much"),
    ],
)
def test_a_rate_out_of_range_is_refused_with_its_place(
    tmp_path: Path, name: str, column: str, value: object
) -> None:
    folder = spoiled(tmp_path, name, column, value, row=7)
    with pytest.raises(ValueError, match=rf"{name}\.csv: row 7, column {column}: got") as refused:
        read_tables(folder)
    assert "\n" not in str(refused.value)


def test_a_key_that_occurs_twice_is_refused_with_its_place(tmp_path: Path) -> None:
    lines = (DEMO / "stages.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "stages.csv").write_text("\n".join([*lines[:5], lines[2]]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"stages\.csv: row 6, columns .*landmark.*twice"):
        read_tables(tmp_path)


def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "stages.csv").write_text('a,b\n"1,2\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"stages\.csv: not a table") as refused:
        read_tables(tmp_path)
    assert "\n" not in str(refused.value)


def others(**effects: dict[str, list[list[float]]]) -> dict[str, Tables]:
    return {task: study(standard_error=0.5, **found) for task, found in effects.items()}


HIGH = {"label": "lost", "at_least": 5, "statistic": part("forgot")["statistic"]}


@pytest.mark.parametrize(
    ("tasks", "expected", "reason"),
    [
        ({}, "not testable", "no study of another task"),
        ({"a": LOST, "b": LOST}, "supported", "all 2 parts hold"),
        ({"a": LOST, "b": [[-3.0, -4.0, -3.5]] * 2}, "supported", "left out: b: floor: lost is"),
        ({"a": SMALL}, "not testable", "a: floor: lost is 0.0, expected at least 5"),
        ({"a": LOST, "b": [[5.0, 15.0, 1.0], [2.0, 16.0, 4.0]]}, "undecided", "b: part 0: "),
    ],
)
def test_a_claim_about_other_tasks_must_hold_on_each_of_which_it_can_be_asked(
    tasks: dict[str, list[list[float]]], expected: str, reason: str
) -> None:
    about = claim(part("forgot", threshold=8), other_tasks=True, floors=[HIGH])
    beside = others(**{task: {"forgot": found} for task, found in tasks.items()})
    # the study's own tables say the opposite, and are not asked
    found = verdicts([about], study(forgot=[[-9.0, -8.0]]), beside).iloc[0]
    assert found["verdict"] == expected
    assert reason in found["reason"]


def test_a_task_that_refutes_is_named_with_its_part() -> None:
    about = claim(part("forgot", threshold=8), other_tasks=True)
    beside = others(a={"forgot": LOST}, b={"forgot": SMALL})
    found = verdicts([about], study(forgot=LOST), beside).iloc[0]
    assert (found["verdict"], found["part"]) == ("contradicted", "b: part 0")
    assert list(parts_table([about], {}, beside)["part"]) == ["a: part 0", "b: part 0"]


def test_cells_that_another_task_lacks_leave_the_claim_open() -> None:
    about = claim(part("forgot"), other_tasks=True)
    found = verdicts([about], {}, {"a": study(forgot=LOST), "b": study(rl_gain=LOST)}).iloc[0]
    assert found["verdict"] == "undecided"
    assert found["reason"].startswith("b: missing: ")

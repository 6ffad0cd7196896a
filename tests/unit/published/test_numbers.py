# SPDX-License-Identifier: MIT
"""The numbers of the papers: what the files hold, what is refused, how they are drawn."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.text import Text

from derotate.figures import published_panels as drawn
from derotate.figures import style
from derotate.published import as_tables as theirs
from derotate.published import numbers as published
from derotate.published.numbers import PublishedError
from derotate.published.schemas import NUMBERS, SETTINGS, nearest_count

FILES = Path(__file__).parents[3] / "results" / "published"
NUMBER = {
    **dict.fromkeys(NUMBERS.columns, ""),
    "paper": "2509.12235", "version": "repository", "place": "Fig. 1", "source": "vector",
    "quantity": "accuracy", "step": "140", "value": "17.52", "unit": "%", "n": "234",
    "on_grid": "yes", "exact": "yes", "certain": "yes", "claims": "C1 C5",
}  # fmt: skip


def written(folder: Path, *rows: dict[str, str]) -> Path:
    pd.DataFrame(rows).to_csv(folder / "stages.csv", index=False)
    return folder


def test_all_files_are_sound_and_known() -> None:
    table = published.load_all(FILES)
    assert set(table["subject"]) == set(published.SUBJECTS)
    assert {path.stem for path in FILES.glob("*.csv")} == {*published.SUBJECTS, "settings"}
    settings = published._read(FILES / "settings.csv", SETTINGS)
    assert set(settings["task"]) >= {"general_points", "navigation"}


def test_what_only_others_read_is_never_called_exact() -> None:
    table = published.load_all(FILES)
    hearsay = table[table["source"].isin(["third_party", "recalled"])]
    assert len(hearsay) and set(hearsay["exact"]) == {"about"} and set(hearsay["certain"]) == {"no"}
    assert set(table[table["source"] == "figure"]["exact"]) <= {"plot", "about"}


def test_every_exact_accuracy_of_known_n_says_whether_it_is_a_count() -> None:
    table = published.load_all(FILES)
    due = (table["quantity"] == "accuracy") & table["n"].notna() & (table["bound"] == "")
    assert (table[due & (table["exact"] == "yes")]["on_grid"] != "").all()


def test_each_claim_with_a_published_number_is_found() -> None:
    table = published.load_all(FILES)
    for claim in ("C1", "C3", "C5", "C11", "C12"):
        assert len(theirs.quotes(table, claim)), claim
    assert theirs.quotes(table, "C18").empty


@pytest.mark.parametrize(
    ("percent", "n", "count", "reached"),
    [
        ("17.52", 234, 41, True),
        ("6.92", 234, 16, False),  # 6.84
        ("17.5", 234, 41, True),
        ("80.23", 48, 39, False),
        ("100", 48, 48, True),
        ("0.0", 234, 0, True),
    ],
)
def test_a_rate_of_n_problems_is_a_count_of_them(
    percent: str, n: int, count: int, reached: bool
) -> None:
    found = nearest_count(percent, n)
    assert (found.count, found.reached) == (count, reached)


def test_every_count_passes_and_chance_is_the_share_of_numbers_that_do() -> None:
    assert all(nearest_count(f"{100 * k / 234:.2f}", 234).reached for k in range(235))
    numbers = [nearest_count(f"{i / 100:.2f}", 234) for i in range(10000)]
    share = sum(found.reached for found in numbers) / len(numbers)
    assert share == pytest.approx(numbers[0].chance, abs=0.002)


def test_restored_values_are_no_counts_and_their_splits_move_as_one() -> None:
    table = published.load(FILES, "surgery")
    for _, points in table[table["recipe"] == "values-top"].groupby("model"):
        series = points.pivot(index="index", columns="split", values="value")
        assert series["id"].corr(series["ood"]) > 0.999
        counts = [
            nearest_count(printed, int(n))
            for printed, n in zip(points["printed"], points["n"], strict=True)
        ]
        # Rates of 234 problems would all be counts; these are as often as any number is.
        reached = sum(count.reached for count in counts)
        assert reached < len(points) / 2
        assert abs(reached - sum(count.chance for count in counts)) < 4


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (
            {"value": "117.52"},
            "row 3, column value: got 117.52, expected 0 to 100, since",
        ),
        ({"value": "1.2", "unit": "share", "on_grid": ""}, "expected 0 to 1"),
        ({"value": "91", "unit": "degrees", "on_grid": ""}, "expected 0 to 90"),
        ({"value": "about 17"}, "row 3, column value: got about 17, expected a number"),
        ({"value": "nan"}, "row 3, column value"),
        ({"value": "inf"}, "row 3, column value"),
        ({"value": ""}, "row 3, column value: got an empty field, expected a number"),
        ({"step": "-5"}, "row 3, column step: got -5, expected a whole number"),
        ({"step": "1.5"}, "row 3, column step"),
        (
            {"on_grid": "no"},
            "row 3, column on_grid: got no, expected yes, since",
        ),
        ({"n": ""}, "row 3, column n"),
        ({"source": "hearsay"}, "row 3, column source: got hearsay"),
        ({"claims": "C1 C19"}, "row 3, column claims: got C1 C19"),
        ({"exact": "no"}, "row 3, column exact"),
    ],
)
def test_a_number_that_cannot_be_right_is_refused_with_row_and_column(
    tmp_path: Path, change: dict[str, str], where: str
) -> None:
    other = NUMBER | {"step": "200"}
    published.load(written(tmp_path, other, NUMBER), "stages")
    with pytest.raises(PublishedError) as refused:
        published.load(written(tmp_path, other, NUMBER | change), "stages")
    text = str(refused.value)
    assert where in text and "stages.csv" in text and "\n" not in text


def test_a_number_given_twice_is_refused_with_both_rows(tmp_path: Path) -> None:
    twice = NUMBER | {"value": "17.09"}
    with pytest.raises(PublishedError, match=r"stages\.csv: row 4, .*twice.*or row 3"):
        published.load(written(tmp_path, NUMBER | {"step": "9"}, NUMBER, twice), "stages")


def test_files_of_another_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PublishedError, match=r"stages\.csv: no such file"):
        published.load(tmp_path, "stages")
    fewer = {name: value for name, value in NUMBER.items() if name != "place"}
    with pytest.raises(PublishedError, match=r"row 1: columns differ \(place\)"):
        published.load(written(tmp_path, fewer), "stages")
    (tmp_path / "stages.csv").write_text(",".join(NUMBERS.columns) + "\na,b\n")
    with pytest.raises(PublishedError, match="row 2: 2 fields, expected 22"):
        published.load(tmp_path, "stages")
    (tmp_path / "stages.csv").write_text("")
    with pytest.raises(PublishedError, match="row 1: columns differ"):
        published.load(tmp_path, "stages")


def curves() -> pd.DataFrame:
    stages = published.load(FILES, "stages")
    return theirs.accuracy_by_step(published.load(FILES, "accuracy_by_step"), stages)


def test_their_curve_has_the_columns_of_ours_and_one_row_a_point() -> None:
    table = curves()
    key = ["model", "stage", "algorithm", "step", "split", "fold", "base_seed", "seed"]
    assert not table.duplicated(key).any()
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    ood = table[(table["split"] == "ood") & table["model"].str.startswith("Llama")]
    sft = ood[ood["stage"] == "sft"].set_index("step")["accuracy"]
    assert (sft.idxmax(), sft.max()) == (140, 17.5)
    healed = ood[ood["stage"] == "rl"].set_index("step")["accuracy"] - sft
    assert set(healed[healed > 0].index) == set(range(500, 1101, 100))
    assert set(ood[ood["stage"] == "base"]["accuracy"]) == {0.0}


def test_without_a_sweep_the_landmarks_stand_at_their_steps() -> None:
    qwen = curves()[lambda table: table["model"].str.startswith("Qwen")]
    found = qwen.set_index(["split", "stage", "step"])["accuracy"].to_dict()
    assert found["ood", "sft", 120] == 19.67 and found["ood", "sft", 800] == 17.09
    assert found["id", "rl", 800] == 40.60


def stages() -> pd.DataFrame:
    return theirs.stages(published.load(FILES, "stages"), published.load(FILES, "accuracy_by_step"))


def test_the_base_is_step_zero_of_the_curve() -> None:
    base = stages()[lambda table: table["landmark"] == "base"]
    assert [(row["split"], row["accuracy"]) for row in base.to_dict("records")] == [("ood", 0.0)]


def test_the_two_papers_differ_where_they_differ() -> None:
    table = stages()
    ends = table[(table["landmark"] == "sft_end") & (table["split"] == "ood")]
    ends = ends[ends["model"].str.startswith("Llama") & (ends["task"] == "general_points")]
    assert dict(zip(ends["paper"], ends["accuracy"], strict=True)) == {
        "2509.12235": 6.92,
        "2508.16546": 8.97,
    }


def test_edits_stand_beside_the_landmarks_of_their_model() -> None:
    table = theirs.surgery(published.load(FILES, "surgery"), published.load(FILES, "stages"))
    assert not table.duplicated(["paper", "model", "mark", "size"]).any()
    llama = table[table["model"].str.startswith("Llama")].set_index(["paper", "mark"])
    end = llama.loc[("2509.12235", "sft_end")]
    assert (end["id"], end["ood_low"], end["ood_high"]) == (68.38, 6.92, 6.92)
    assert llama.loc[("2508.16546", "sft_end"), "ood_low"] == 8.97
    directions = llama.loc[("2509.12235", "directions")]
    assert (directions["id"], directions["ood_low"], directions["ood_high"]) == (20, 15, 17)
    values = table[table["mark"] == "values"]
    assert set(values.groupby("model").size()) == {10, 11} and values["size"].notna().all()


def test_a_range_is_not_called_exact() -> None:
    table = theirs.surgery(published.load(FILES, "surgery"), published.load(FILES, "stages"))
    ranges = table[table["ood_low"] < table["ood_high"]]
    assert len(ranges) and set(ranges["exact"]) == {"about"}


def test_the_origin_of_a_table_has_each_paper_and_version_once() -> None:
    assert theirs.origin(stages()) == (
        "arXiv 2509.12235, repository (exact); arXiv 2508.16546, version unstated (exact)"
    )


def test_the_panel_names_models_and_numbers_of_problems() -> None:
    with style.look():
        figure, ((left, right),) = style.canvas(1, 2)
        drawn.accuracy(left, curves(), "ood")
        drawn.accuracy(right, curves()[:0], "ood")
    words = " ".join(text.get_text() for text in figure.findobj(Text))
    for part in ("LLaMA 11B, n = 234", "Qwen 7B, n = 234", "after RL"):
        assert part in words
    assert any("no published value" in text.get_text() for text in right.texts)


def test_redrawing_imports_no_torch() -> None:
    code = (
        "import sys, derotate.stages.figures, derotate.stages.reexamination; "
        "import derotate.stages.calibration; "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

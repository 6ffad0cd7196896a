# SPDX-License-Identifier: MIT
"""The tasks side by side: levels and differences are those of the tables."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from derotate.figures.tasks import Curves, tasks
from derotate.report.findings_page import findings
from derotate.report.sources import Files, read
from derotate.stages.claims import write_claims

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "results" / "reference"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The demo's tables as the study, and once more as a study of navigation."""
    study, other = tmp_path / "results" / "tiny", tmp_path / "results" / "tiny-navigation"
    for folder in (study, other):
        folder.mkdir(parents=True)
        for table in (REFERENCE / "demo").glob("*.csv"):
            shutil.copy(table, folder)
    chance(other, 10.0)
    return Files(
        page=tmp_path / "docs" / "findings.md",
        study=study,
        others={"navigation": other},
        calibration=tmp_path / "none.csv",
        published=ROOT / "results" / "published",
        reexamination=REFERENCE / "reexamination" / "measured.csv",
    )


def chance(folder: Path, level: float) -> None:
    """Give a study a chance level of its OOD test problems."""
    runs = pd.read_csv(folder / "landmarks.csv")[["base_seed", "seed"]]
    table = runs.assign(split="ood", fold="test", chance=level)
    table.to_csv(folder / "chance.csv", index=False)


def judged(files: Files) -> str:
    """The page of the tables, with verdicts on both studies."""
    for folder in files.others.values():
        write_claims(folder, folder)
    write_claims(files.study, files.study, files.others)
    return findings(read(files))


def row(page: str, name: str, after: str) -> list[str]:
    """The cells of a task's row in the table that follows some words."""
    part = page[page.index(after) :]
    line = next(line for line in part.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_each_task_has_its_levels_and_differences(files: Files) -> None:
    page = judged(files)
    stages = pd.read_csv(files.study / "stages.csv", dtype={"seed": str})
    own = stages[
        (stages["split"] == "ood") & (stages["fold"] == "test") & (stages["seed"] != "all")
    ]
    peak = own[own["landmark"] == "max_ood"]["accuracy"].mean()
    levels = row(page, "navigation", "OOD accuracy on test problems in percent")
    assert levels[1] == "10.0"
    assert levels[3] == f"{peak:.1f}"
    assert levels[-1] == "yes"
    same = row(page, "general points", "Differences in points")[1:]
    assert row(page, "navigation", "Differences in points")[1:] == same
    lost = same[1].removeprefix("-").split()[0]
    assert f"From the peak to the end of SFT they lose {lost} (navigation) points" in page


def test_a_task_whose_peak_is_near_chance_is_not_testable(files: Files) -> None:
    chance(files.others["navigation"], 15.0)
    page = judged(files)
    levels = row(page, "navigation", "OOD accuracy on test problems in percent")
    assert levels[-1] == "no"
    assert "**C17 the same on other tasks**. No other task is testable" in page
    assert "Navigation: floor: OOD accuracy at the peak above chance" in page


def test_success_on_whole_routes_is_shown_at_the_landmarks(files: Files) -> None:
    other = files.others["navigation"]
    landmarks = pd.read_csv(other / "landmarks.csv")
    rows = []
    for run in landmarks.to_dict("records"):
        key = {"base_seed": run["base_seed"], "seed": run["seed"], "split": "ood", "fold": "test",
               "update": 0, "algorithm": "", "attempts": 1, "low": 0, "high": 100}  # fmt: skip
        rows += [
            {**key, "stage": "base", "step": 0, "success": 5.0},
            {**key, "stage": "sft", "step": run["max_ood"], "success": 30.0},
            {**key, "stage": "sft", "step": run["sft_end"], "success": 12.0},
        ]
    pd.DataFrame(rows).to_csv(other / "episodes.csv", index=False)
    assert "| navigation | OOD | 5.0 | 30.0 | 12.0 | – |" in judged(files)
    second = [{**row, "attempts": 2, "success": row["success"] + 1} for row in rows]
    pd.DataFrame(rows + second).to_csv(other / "episodes.csv", index=False)
    page = judged(files)
    assert "| navigation | OOD within 2 attempts | 6.0 | 31.0 | 13.0 | – |" in page
    assert "A second attempt follows" in page


def test_one_task_alone_has_no_such_section(files: Files) -> None:
    write_claims(files.study, files.study)
    alone = Files(**{**vars(files), "others": {}})
    page = findings(read(alone))
    assert "side by side" not in page
    assert "One task." in page


def test_the_figure_has_a_panel_for_each_task_and_the_chance_level_where_there_is_one() -> None:
    accuracy = pd.read_csv(REFERENCE / "demo" / "accuracy_by_step.csv", dtype={"seed": str})
    level = pd.DataFrame([{"split": "ood", "fold": "test", "chance": 25.0}])
    names = ("general_points", "navigation", "rank")
    figure = tasks(
        [Curves(name, accuracy, level if name != "general_points" else pd.DataFrame())
         for name in names]
    )  # fmt: skip
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title("left") or axes.get_title() for axes in shown] == [
        name.replace("_", " ") for name in names
    ]
    dotted = [[line for line in axes.lines if line.get_linestyle() == ":"] for axes in shown]
    assert [len(lines) for lines in dotted] == [0, 1, 1]

# SPDX-License-Identifier: MIT
"""The end of a run on the terminal, and the record of its config that it is read from."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from derotate.analysis import accuracy as tables
from derotate.analysis import contrasts
from derotate.cli import app
from derotate.config.schema import Config, load
from derotate.files.tables import write
from derotate.runs.summary import over_budget, places, show
from derotate.study import record

ROOT = Path(__file__).parents[3]
CLUSTERS = 60


def answers(correct: int, **cell: object) -> pd.DataFrame:
    """Greedy answers to every suite, the first `correct` of each right."""
    suites = [("id", "train"), ("id", "test"), ("ood", "selection"), ("ood", "test")]
    rows = [
        {
            "problem": f"{split}-{fold}-{i}", "split": split, "fold": fold, "cluster": f"set-{i}",
            "decoding": "greedy", "attempt": 0, "correct": int(i < correct), "kind": "correct",
            "loss": 1.0,
        }
        for split, fold in suites
        for i in range(CLUSTERS)
    ]  # fmt: skip
    empty = {"algorithm": "", "start": None, "step": None, "donor": None, "patient": "",
             "recipe": "", "direction": ""}  # fmt: skip
    return pd.DataFrame(rows).assign(base_seed=1, seed=None, **empty).assign(**cell)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A study of the default config that forgot, with one edit and its controls."""
    edited = {"stage": "surgery", "seed": 1, "donor": 50, "patient": "sft-500"}
    edited["direction"] = "forward"
    rows = pd.concat(
        [
            answers(10, stage="base"),
            answers(30, stage="sft", seed=1, step=50),
            answers(20, stage="sft", seed=1, step=500),
            answers(28, stage="rl", seed=1, algorithm="grpo", start=500, step=30),
            *(
                answers(correct, recipe=name, **edited)
                for name, correct in (
                    ("directions-top20", 27), ("interpolate-equal-norm", 24), ("rollback", 29),
                    ("interpolate-equal-loss", 25), ("values-top20", 20),
                )
            ),
        ]
    ).astype(dict.fromkeys(("seed", "start", "step", "donor"), "Int64"))  # fmt: skip
    landmarks = pd.DataFrame(
        [{"base_seed": 1, "seed": 1, "max_ood": 50, "sft_end": 500, "rl_end_algorithm": "grpo",
          "rl_end_start": 500, "rl_end_step": 30}]
    )  # fmt: skip
    recipes = Config().surgery.recipes
    folder = tmp_path / "demo"
    record.write(Config(), folder)
    write(contrasts.contrasts(rows, landmarks, recipes), folder / "tables/contrasts.csv")
    write(tables.stages(rows, landmarks), folder / "tables/stages.csv")
    edits = pd.DataFrame(columns=["base_seed", "seed", "recipe", "matched"])
    write(edits, folder / "tables/surgery_edits.csv")
    return folder


def printed(folder: Path, width: int) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(folder, console)
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_summary_fits_a_screen(finished: Path, width: int) -> None:
    lines = printed(finished, width).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= min(width, 100)


def test_the_summary_holds_numbers_stages_costs_and_where_to_look(finished: Path) -> None:
    text = printed(finished, 100)
    assert "SFT: OOD accuracy" in text and "16.7 [" in text
    assert "values-top20" in text
    peak = next(line for line in text.splitlines() if line.startswith("max_ood"))
    assert peak.count("50.0 [") == 3
    assert "budget" in text
    assert "rl.grpo.updates (30)" in text
    assert (finished / "tables/budget.csv").is_file()


def test_only_stages_beyond_their_budget_are_named() -> None:
    budget = pd.DataFrame(
        {"stage": ["base", "rl"], "budget_minutes": [4.0, 3.5], "took_minutes": [4.0, 5.25]}
    )
    assert over_budget(budget) == ["Over budget: rl (5.2 of 3.5 minutes)"]
    assert over_budget(budget.head(1)) == []


def test_a_folder_without_a_study_is_one_line_and_no_traceback(
    finished: Path, tmp_path: Path
) -> None:
    (finished / "tables/stages.csv").unlink()
    for folder, expected in ((tmp_path, "config.yaml"), (finished, "stages.csv")):
        result = CliRunner().invoke(app, ["summary", str(folder)])
        assert result.exit_code == 2
        assert expected in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_tables_of_another_run_are_not_summed_up(finished: Path) -> None:
    record.write(load({"seeds": [101]}), finished)
    result = CliRunner().invoke(app, ["summary", str(finished)])
    assert result.exit_code == 2
    assert "seeds [1], expected [101]" in result.stderr


@pytest.mark.parametrize("file", ["demo.yaml", "smoke.yaml"])
def test_the_record_of_a_config_is_that_config(file: str, tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "config" / file).read_text())
    config = load({**values, "seeds": [101, 202]})
    record.write(config, tmp_path)
    assert record.read(tmp_path) == config


@pytest.mark.parametrize(
    ("study", "report", "file"),
    [
        ("demo", "make report", "config/demo.yaml"),
        ("rank", "make report TASK=rank", "config/rank.yaml"),
        ("mine", "the same command with --report FILE.html", "its config"),
    ],
)
def test_the_last_lines_name_the_next_command_and_the_file_to_edit(
    study: str, report: str, file: str
) -> None:
    *_, told, following = places(Path("results", study), load({"study": study}))
    assert told == f"Report   {report}"
    assert f"in {file};" in following

# SPDX-License-Identifier: MIT
"""The phase diagram: which runs there are, what each gained and lost, how it is drawn."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from derotate.analysis.clustered_intervals import paired_difference
from derotate.analysis.phase_diagram import phase
from derotate.config.schema import Config, ConfigError, load
from derotate.figures import phase_diagram as figures_phase
from derotate.stages.phase import draw_phase, write_phase
from derotate.study.paths import Paths, Run
from derotate.study.phase_paths import RATE, evaluations, rate_name

ROOT = Path(__file__).resolve().parents[3]
GRID = {"base_steps": [400, 1000], "learning_rates": [1e-5, 3e-4, 1e-3], "steps": [20, 60]}

# Problems correct out of 20: OOD selection, OOD test, ID train; step 0 is the base.
COURSE = {0: (2, 1, 1), 20: (5, 6, 18), 40: (9, 8, 19), 80: (9, 10, 20), 160: (1, 2, 20)}
SUITES = (("ood", "selection"), ("ood", "test"), ("id", "train"))
PROBLEMS = 20


def checkpoint(step: int, correct: tuple[int, ...], **cell: Any) -> pd.DataFrame:
    """Greedy rows of a checkpoint that solves the first problems of a suite, two a number set."""
    parts = [
        pd.DataFrame(
            {
                "problem": [f"{split}-{fold}-{i}" for i in range(PROBLEMS)],
                "split": split,
                "fold": fold,
                "cluster": [f"{split}-{fold}-{i // 2}" for i in range(PROBLEMS)],
                "correct": (np.arange(PROBLEMS) < solved).astype(int),
                "decoding": "greedy",
                "attempt": 0,
            }
        )
        for (split, fold), solved in zip(SUITES, correct, strict=True)
    ]
    run = {"base_seed": 1, "seed": 11, "base_steps": 1000, "learning_rate": 3e-4, **cell}
    if step == 0:
        run |= {"seed": None, "learning_rate": None}
    table = pd.concat(parts, ignore_index=True).assign(step=step, **run)
    return table.astype({"seed": "Int64", "learning_rate": float})


def course(steps: Mapping[int, tuple[int, ...]], **cell: Any) -> pd.DataFrame:
    """A base and the checkpoints of a run from it."""
    return pd.concat([checkpoint(step, correct, **cell) for step, correct in steps.items()])


def only(rows: pd.DataFrame) -> pd.Series:
    """The row of a table of one run."""
    table = phase(rows)
    assert len(table) == 1
    return table.iloc[0]


def test_the_peak_is_the_earliest_best_step_on_selection_and_is_scored_on_test() -> None:
    run = only(course(COURSE))
    assert (run["peak_step"], run["peak_ood"]) == (40, 40)  # 80 ties on selection, leads on test
    assert (run["base_ood"], run["base_id"], run["gained"]) == (5, 5, 35)


def test_the_loss_is_peak_minus_end_paired_by_problem_and_clustered_by_number_set() -> None:
    rows = course(COURSE)
    run = only(rows)
    test = rows[(rows["split"] == "ood") & (rows["fold"] == "test")]
    pair = (test[test["step"] == step] for step in (40, 160))
    expected = paired_difference(*pair, on=["problem"]).scaled(100)
    assert run["end_step"] == 160 and run["end_lost"] == 30
    assert run["end_lost"] == pytest.approx(expected.mean)
    assert run["end_lost_low"] == pytest.approx(expected.low)
    assert run["end_lost_high"] == pytest.approx(expected.high)
    assert run["end_lost_low"] < 30 < run["end_lost_high"]
    assert (run["n"], run["clusters"]) == (20, 10)


def test_runs_are_compared_where_they_have_learned_as_much_and_only_by_what_came_before() -> None:
    run = only(course(COURSE))
    # ID reaches 95 % at step 40, which is the best step so far: nothing is lost yet
    assert (run["matched_step"], run["matched_id"], run["matched_ood"]) == (40, 95, 40)
    assert run["matched_lost"] == 0
    assert np.isnan(run["matched_lost_low"]) and np.isnan(run["matched_lost_high"])
    late = only(course({**COURSE, 40: (9, 8, 18)}))
    assert (late["matched_step"], late["matched_lost"]) == (80, -10)


def test_a_run_that_never_learned_is_marked_and_is_matched_nowhere() -> None:
    run = only(course({0: (2, 1, 1), 20: (3, 2, 10), 40: (4, 3, 17)}))
    assert not run["learned"] and run["id_highest"] == 85
    assert run[[name for name in run.index if name.startswith("matched")]].isna().all()
    assert run["end_lost"] == 0
    assert only(course({0: (2, 1, 1), 20: (3, 2, 18)}))["learned"]


def test_a_base_that_is_never_surpassed_is_the_peak_and_its_loss_counts() -> None:
    run = only(course({0: (9, 8, 1), 20: (9, 7, 15), 40: (0, 1, 20)}))
    assert (run["peak_step"], run["gained"], run["end_lost"]) == (0, 0, 35)
    assert np.isnan(run["gained_low"])


def test_each_run_is_measured_against_the_base_that_it_started_from() -> None:
    weak = course({0: (0, 0, 0), 20: (4, 4, 19)}, base_steps=400)
    strong = course({0: (2, 2, 2), 20: (8, 8, 19)}, base_steps=1000)
    table = phase(pd.concat([weak, strong]))
    assert table["base_steps"].tolist() == [400, 1000]
    assert table["gained"].tolist() == [20, 30]


def test_sampled_answers_do_not_count() -> None:
    rows = course(COURSE)
    sampled = rows.assign(decoding="sample", correct=1)
    pd.testing.assert_frame_equal(phase(pd.concat([rows, sampled])), phase(rows))


@pytest.mark.parametrize(
    "missing",
    [
        {"step": [0]},
        {"split": ["id"]},
        {"fold": ["selection"], "step": [40]},
        {"fold": ["test"], "step": [40]},
    ],
)
def test_what_was_not_evaluated_is_one_line_that_names_the_run(missing: dict[str, Any]) -> None:
    rows = course(COURSE)
    rows = rows[~rows[list(missing)].isin(missing).all(axis=1)]
    with pytest.raises(ValueError, match=r"base 1 of 1000 steps, seed 11, rate 0\.0003") as error:
        phase(rows)
    assert "\n" not in str(error.value)


def test_every_cell_of_the_grid_has_its_evaluations_and_each_base_is_evaluated_once() -> None:
    config = load({"phase": GRID, "seeds": [1, 2]})
    cells = pd.DataFrame(evaluations(config).values())
    runs = cells.dropna(subset="learning_rate")
    assert len(runs.groupby(["seed", "base_steps", "learning_rate"])) == 2 * 2 * 3
    assert set(runs.groupby(["seed", "base_steps", "learning_rate"]).size()) == {2}
    assert cells[cells["learning_rate"].isna()]["base_steps"].tolist() == [400, 1000]


def test_a_base_as_long_as_the_studys_own_is_that_base() -> None:
    config = load({"phase": GRID})
    own = Paths.of(config, Run(1, 1)).evaluation("base")
    assert evaluations(config)[own]["base_steps"] == config.base.steps


def test_without_a_grid_there_is_nothing_to_evaluate() -> None:
    assert evaluations(Config()) == {}


@pytest.mark.parametrize("rate", [1e-5, 0.0003, 0.001, 0.5, 1.25e-7])
def test_a_rate_is_read_back_from_its_name(rate: float) -> None:
    assert re.fullmatch(RATE, rate_name(rate))
    assert float(rate_name(rate)) == rate


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"phase": {"base_steps": [400]}}, ("phase", "learning_rates", "got an empty list")),
        ({"phase": GRID | {"learning_rates": [1e-3, 0.001]}}, ("learning_rates", "distinct")),
        ({"phase": GRID | {"steps": [60, 20]}}, ("steps", "[60, 20]", "ascending")),
        ({"phase": GRID | {"learning_rates": [3]}}, ("phase.learning_rates.0", "less than 1")),
        (
            {"phase": GRID, "evaluation": {"suites": [{"split": "ood", "fold": "selection"}],
                                           "sampled": []}},
            ("evaluation.suites", "no id train"),
        ),
    ],
)  # fmt: skip
def test_a_grid_that_cannot_be_run_is_refused_in_one_line(
    values: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as error:
        load(values)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_the_committed_grid_is_four_rates_from_three_bases() -> None:
    config = load(yaml.safe_load((ROOT / "config/phase.yaml").read_text()))
    assert (len(config.phase.base_steps), len(config.phase.learning_rates)) == (3, 4)
    assert config.base.steps in config.phase.base_steps
    assert config.sft.learning_rate in config.phase.learning_rates


def diagram(seeds: tuple[int, ...] = (11,)) -> pd.DataFrame:
    """Six runs for each seed; the smallest rate has learned nothing."""
    parts = [
        course(
            COURSE if rate > 1e-4 else {0: COURSE[0], 20: (3, 2, 10), 160: (4, 3, 17)},
            seed=seed, base_steps=steps, learning_rate=rate,
        )
        for seed in seeds
        for steps in (400, 1000)
        for rate in (1e-4, 3e-4, 1e-3)
    ]  # fmt: skip
    keys = ["base_steps", "learning_rate", "seed", "step", "problem"]
    return phase(pd.concat(parts).drop_duplicates(keys))


def test_cells_show_points_with_their_interval_and_runs_that_learned_nothing_are_hatched() -> None:
    panels = figures_phase.phase(diagram()).axes
    texts = [[text.get_text() for text in axes.texts] for axes in panels]
    assert [len(cells) for cells in texts] == [6, 6, 6]
    assert sum(cell.startswith("30.0\n±") for cell in texts[0]) == 4
    assert texts[1].count("0.0\nstep 40") == 4 and texts[1].count("never") == 2
    assert texts[2].count("35.0\nstep 40") == 4
    assert [sum(patch.get_hatch() is not None for patch in axes.patches) for axes in panels] == [
        2,
        2,
        2,
    ]


def test_several_seeds_are_averaged_without_an_interval() -> None:
    panels = figures_phase.phase(diagram(seeds=(11, 12))).axes
    assert [text.get_text() for text in panels[0].texts].count("30.0") == 4


def test_the_files_of_the_stage_have_the_same_bytes_each_time(tmp_path: Path) -> None:
    files: dict[Path, dict[str, Any]] = {}
    for step, correct in COURSE.items():
        rows = checkpoint(step, correct)
        cell = ["base_seed", "seed", "base_steps", "learning_rate", "step"]
        files[tmp_path / f"{step}.parquet"] = {
            key: None if pd.isna(value) else value for key, value in rows[cell].iloc[0].items()
        }
        rows.drop(columns=cell).to_parquet(tmp_path / f"{step}.parquet")
    for name in ("a", "b"):
        write_phase(files, {"seeds": [11]}, tmp_path / name / "phase.csv")
        draw_phase(tmp_path / name / "phase.csv", tmp_path / name / "phase")
    made = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert made == ["phase.csv", "phase.pdf", "phase.png", "phase_origin.json"]
    for name in made:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert pd.read_csv(tmp_path / "a/phase.csv")["end_lost"].tolist() == [30]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda table: pd.concat([table, table]), ("row 8", "occurs twice")),
        (lambda table: table.assign(end_id=101.0), ("row 2", "column end_id", "0 to 100")),
        (lambda table: table.assign(end_lost=-101.0), ("row 2", "column end_lost")),
        (lambda table: table.drop(columns="gained"), ("no column gained",)),
    ],
)
def test_a_table_that_cannot_be_true_is_not_drawn(
    spoil: Callable[[pd.DataFrame], pd.DataFrame], words: tuple[str, ...], tmp_path: Path
) -> None:
    spoil(diagram()).to_csv(tmp_path / "phase.csv", index=False)
    with pytest.raises(ValueError, match=r"phase\.csv") as error:
        draw_phase(tmp_path / "phase.csv", tmp_path / "phase")
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
    assert not (tmp_path / "phase.png").exists()

# SPDX-License-Identifier: MIT
"""Look before you train: a pair from a finished study, one surgery on it, a page about both."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors import safe_open
from typer.testing import CliRunner, Result

from derotate.cli import app
from derotate.config.recipes import Band, Recipe
from derotate.config.schema import Config, load
from derotate.explore import words
from derotate.explore.export import cast_error, export
from derotate.explore.live import Trial, controls_for
from derotate.explore.pair import SUITES, PairError, read
from derotate.models import checkpoint as checkpoints
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.stages.data import write_problems
from derotate.stages.evaluate import EvaluationJob, evaluate_checkpoint
from derotate.stages.factors import factorise_checkpoint
from derotate.stages.landmarks import choose
from derotate.stages.run_files import read_landmarks
from derotate.stages.spectra import compare
from derotate.stages.tables import StudyFiles, StudyTables, write_tables
from derotate.study import paths as study
from derotate.study import record
from derotate.tasks.general_points.pretraining import WORDS

ROOT = Path(__file__).parents[3]
RUN = study.Run(1, 1)


@pytest.fixture(scope="module")
def config() -> Config:
    return load(yaml.safe_load((ROOT / "config/smoke.yaml").read_text()))


@pytest.fixture(scope="module")
def finished(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a study leaves that a pair is made of, with random weights in place of trained ones."""
    root = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(root)
        paths = study.Paths.of(config, RUN)
        problems = Path(paths.task) / "data/problems.csv"
        write_problems(config.task, [s.model_dump() for s in config.evaluation.suites], problems)
        labels = study.trained_labels(config)
        for seed, label in enumerate(labels):
            checkpoint, rows = Path(paths.checkpoint(label)), Path(paths.evaluation(label))
            tokenizer = tiny_tokenizer(WORDS)
            checkpoints.save(tiny_model(config.model, tokenizer, seed), tokenizer, checkpoint)
            evaluate_checkpoint(
                EvaluationJob(
                    config.task, config.style, checkpoint, problems, config.evaluation,
                    seed=1, parquet=rows, csv=rows.with_suffix(".csv"),
                )
            )  # fmt: skip
            factors = Path(paths.factors(label))
            guards = factors.with_suffix(".csv")
            factors.parent.mkdir(parents=True, exist_ok=True)
            factorise_checkpoint(checkpoint, None, config.guards, factors, guards)
        landmarks = Path(paths.run) / "landmarks.json"
        steps = {step: Path(paths.evaluation(f"sft-{step}")) for step in config.sft.steps}
        choose(steps, config.landmarks.sft_end, landmarks)
        donor, patient = "sft-4", "sft-8"
        compare(
            donor=Path(paths.checkpoint(donor)), patient=Path(paths.checkpoint(patient)),
            donor_factors=Path(paths.factors(donor)), patient_factors=Path(paths.factors(patient)),
            out=Path(paths.spectra(donor, patient)),
        )  # fmt: skip
        files = StudyFiles(
            problems,
            [Path(paths.evaluation(label)) for label in labels],
            spectra=[Path(paths.spectra(donor, patient))],
        )
        chosen = read_landmarks([landmarks], ("grpo", 8, 2))
        tables = StudyTables(config.task, files, chosen, config.surgery.recipes)
        write_tables(tables, {}, Path(paths.study) / "tables")
        record.write(config)
    return root / paths.study


@pytest.fixture(scope="module")
def pair(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "pair"
    export(finished, out, RUN)
    return out


def derotate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_a_pair_is_small_and_in_bfloat16(pair: Path) -> None:
    for role in ("donor", "patient", "rl"):
        with safe_open(pair / role / "model.safetensors", framework="pt") as file:
            assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert sum(file.stat().st_size for file in pair.rglob("*")) < 1_000_000


def test_a_pair_says_where_it_comes_from_and_what_the_cast_lost(pair: Path) -> None:
    text = (pair / "README.md").read_text()
    assert "`donor/` is `sft-4`, `patient/` is `sft-8`, `rl/` is `rl-grpo-8-2`" in text
    assert text.count("| patient ") == len(SUITES)
    assert str(pair.parent) not in text


def test_the_tables_of_a_pair_are_those_of_its_run(pair: Path, finished: Path) -> None:
    stages = pd.read_csv(pair / "tables/stages.csv")
    assert set(stages["seed"]) == {"all"}
    before = pd.read_csv(finished / "tables/stages.csv", dtype={"seed": str}).query("seed == '1'")
    assert stages["accuracy"].tolist() == before["accuracy"].tolist()


def test_a_cast_loses_at_most_half_a_unit_in_the_last_place() -> None:
    weights = torch.linspace(1.0, 2.0, 1001)[:, None]
    rounded = weights.to(torch.bfloat16)
    lost = cast_error({"w": weights}, {"w": rounded})
    assert 0 < lost <= 2**-8
    assert cast_error({"w": rounded.float()}, {"w": rounded}) == 0


def test_explore_writes_a_page_that_asks_the_network_for_nothing(
    pair: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    result = derotate("explore", "--pair", pair, "--out", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.count('src="data:image/png;base64,') == 4
    linked = re.findall(r"""(?:src|href)\s*=\s*["']?(\S{5})""", text)
    assert set(linked) == {"data:"}
    assert "url(" not in text
    assert "@import" not in text
    for model in ("patient", "directions-top20", "rollback", "interpolation", "RL result"):
        assert model in text
        assert model in result.stdout


def test_explore_of_own_checkpoints_shows_nothing_of_the_shipped_ones(
    pair: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    own = ("--donor", pair / "patient", "--patient", pair / "rl")
    result = derotate("explore", "--pair", pair, "--out", page, *own)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "<img" not in text
    assert "RL result" not in text
    # a rollback goes the whole way, and interpolation as far as the recipe
    size = dict(re.findall(r"<td>([\w-]+)[^<]*</td>\s*<td>([\d.]+)</td>", text))
    assert size["rollback"] == size["donor"] == "1.00"
    assert size["interpolation"] == size["directions-top20"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--recipe", "directions-top99"], "directions-top20, random-norm-top20"),
        (["--recipe", "interpolate-equal-loss"], "expected one of"),
        (["--donor", "somewhere"], "--patient"),
        (["--donor", "nowhere", "--patient", "nowhere"], "no model.safetensors"),
        (["--style", "prose"], "--style"),
        (["--pair", "nowhere"], "explore-export"),
    ],
)
def test_wrong_input_is_one_line_and_no_page(
    pair: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    page = tmp_path / "page.html"
    result = derotate("explore", "--pair", pair, "--out", page, *arguments)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not page.exists()


def test_checkpoints_of_two_architectures_are_refused(
    config: Config, pair: Path, tmp_path: Path
) -> None:
    tokenizer = tiny_tokenizer(WORDS)
    wide = config.model.model_copy(update={"intermediate_size": 96})
    checkpoints.save(tiny_model(wide, tokenizer, 0), tokenizer, tmp_path / "wide")
    result = derotate(
        "explore", "--pair", pair, "--donor", tmp_path / "wide", "--patient", pair / "patient",
        "--out", tmp_path / "page.html",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "two checkpoints of one model" in result.stderr


def test_a_run_that_a_study_has_not_is_named(finished: Path, tmp_path: Path) -> None:
    result = derotate("explore-export", finished, tmp_path / "pair", "--seed", "7")
    assert result.exit_code == 2
    assert "seed 7" in result.stderr
    assert not (tmp_path / "pair").exists()


def test_a_study_stopped_before_its_tables_makes_no_pair(finished: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "study"
    shutil.copytree(finished, stopped)
    stages = stopped / "tables/stages.csv"
    stages.write_text(stages.read_text().replace("\n1,1,", "\n1,9,"))
    with pytest.raises(PairError, match="expected a finished study"):
        export(stopped, tmp_path / "pair", RUN)


def test_a_folder_that_is_no_pair_is_refused(pair: Path, tmp_path: Path) -> None:
    with pytest.raises(PairError, match=r"config\.yaml"):
        read(tmp_path)
    assert read(pair).config.study == "smoke"


def test_controls_edit_the_matrices_that_the_recipe_edits() -> None:
    recipe = Recipe(
        name="some", part="directions", band=Band(fraction=0.2), layers=(0,), matrices=("q",)
    )
    assert {name for name, _ in controls_for(recipe)} == {"rollback", "interpolation"}
    for _, control in controls_for(recipe):
        assert (control.layers, control.matrices) == ((0,), ("q",))


# --- what is said: it goes no further than the intervals


def trial(name: str, ood: Sequence[int], norm: float = 0.5) -> Trial:
    """A model that solves these OOD problems and all ID ones."""
    rows = [
        {"problem": f"{split}-{i}", "split": split, "fold": fold, "cluster": f"set-{i}",
         "correct": int(split == "id" or i in ood)}
        for split, fold in SUITES
        for i in range(100)
    ]  # fmt: skip
    return Trial(name, norm, pd.DataFrame(rows), 1.0)


def said(edit: int, interpolation: int, rollback: int) -> str:
    """The sentences about models that solve that many of 100 problems; the patient solves 20."""
    counts = {"patient": 20, "edit": edit, "interpolation": interpolation, "rollback": rollback}
    trials = {name: trial(name, range(count)) for name, count in counts.items()}
    return "\n".join(words.sentences(trials, "edit", "number sets"))


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((60, 40, 40), "raised OOD accuracy, and significantly more than each control."),
        ((60, 40, 59), "but not significantly more than rollback."),
        ((60, 60, 60), "than rollback and interpolation"),
        ((21, 20, 20), "has no detectable effect"),
        ((5, 20, 20), "reduced OOD accuracy"),
    ],
)
def test_the_verdict_follows_the_intervals(counts: tuple[int, int, int], verdict: str) -> None:
    assert verdict in said(*counts).splitlines()[-1]


def test_a_change_within_its_interval_is_called_not_significant() -> None:
    assert "+1.0 points [-1.0, 3.0], not significant" in said(21, 60, 60)
    assert "changes by +40.0 points [30.2, 49.8];" in said(60, 20, 20)


def test_an_interpolation_beyond_the_donor_is_called_so() -> None:
    trials = {name: trial(name, range(20)) for name in ("patient", "interpolation")}
    trials["edit"] = replace(trial("edit", range(30)), norm=1.3)
    assert "(beyond the donor)" in "\n".join(words.sentences(trials, "edit", "number sets"))

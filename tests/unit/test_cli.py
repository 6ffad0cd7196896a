# SPDX-License-Identifier: MIT
"""What a user of the command line sees: a result, or one line that says what to correct."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from derotate.cli import app
from derotate.config.documentation import default_yaml, json_schema
from derotate.config.schema import DEFAULT_TASK, Config, mixture_descriptions


def derotate(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def graded(result: Result) -> dict[str, str]:
    """The printed table as a mapping."""
    assert result.exit_code == 0, result.output
    return {line[:12].strip(): line[12:] for line in result.stdout.splitlines()}


def test_config_prints_the_generated_files() -> None:
    notes = mixture_descriptions(DEFAULT_TASK)
    assert derotate("config", "default").stdout == default_yaml(Config, notes)
    assert derotate("config", "schema").stdout == json_schema(Config)


def test_config_check_accepts_a_file_with_only_the_keys_that_differ(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("study: mine\nsft:\n  learning_rate: 1.0e-4\n")
    result = derotate("config", "check", str(file))
    assert result.exit_code == 0
    assert "results/mine/" in result.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sft:\n  learning_rat: 1\n", "sft.learning_rat"),
        ("seeds: many\n", "seeds"),
        ("base:\n  steps: -5\n", "base.steps"),
        ("landmarks:\n  sft_end: 77\n", "landmarks.sft_end"),
        ("- a\n- b\n", "expected keys with values"),
        ("a: [1\n", "not YAML"),
        ("", "expected keys with values"),
    ],
)
def test_config_check_names_the_wrong_key_in_one_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    result = derotate("config", "check", str(file))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_config_check_of_an_absent_file_is_one_line(tmp_path: Path) -> None:
    result = derotate("config", "check", str(tmp_path / "absent.yaml"))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_the_famous_solution_is_correct() -> None:
    response = "3 3 8 8 ; formula 8 / ( 3 - 8 / 3 ) = 24"
    assert graded(derotate("grade", "3 3 8 8", "--rule", "11,12,13", response)) == {
        "verdict": "correct",
        "error kind": "none",
        "value": "24",
        "recognised": "3 3 8 8",
    }


def test_a_hand_worth_24_under_the_id_rule_alone_is_named_as_such() -> None:
    response = "10 10 4 4 ; formula ( 10 * 10 - 4 ) / 4 = 24"
    assert graded(derotate("grade", "J Q 4 4", response))["verdict"] == "correct"
    out = graded(derotate("grade", "J Q 4 4", response, "--rule", "11 12 13"))
    assert (out["verdict"], out["error kind"]) == ("wrong", "id_rule_applied")


def test_a_response_is_read_from_stdin() -> None:
    out = graded(derotate("grade", "3 3 8 8", stdin="no idea"))
    assert (out["error kind"], out["value"]) == ("unparsable", "none")


@pytest.mark.parametrize(
    ("task", "problem", "response", "verdict", "kind"),
    [
        ("determinant", "1 2 / 3 4", '{"answer": -2}', "correct", "none"),
        ("determinant", "1 2 / 3 4", '{"answer": 2}', "wrong", "wrong_sign"),
        ("rank", "1 2 / 2 4", '{"answer": 2}', "wrong", "too_high"),
        ("rank", "1 2 / 2 4", '{"answer": 1}', "correct", "none"),
        ("navigation", "ood-n0001-4-3of7", "turn west", "wrong", "unparsable"),
    ],
)
def test_responses_to_problems_of_other_tasks_are_graded(
    task: str, problem: str, response: str, verdict: str, kind: str
) -> None:
    out = graded(derotate("grade", problem, response, "--task", task, "--style", "natural"))
    assert (out["verdict"], out["error kind"]) == (verdict, kind)


def test_a_step_of_a_walk_is_graded_by_its_name() -> None:
    right = "2 cafe at cafe ; 3 now east want north ; turn left"
    out = graded(derotate("grade", "ood-n0001-4-3of7", right, "--task", "navigation"))
    assert (out["verdict"], out["action"], out["seen"]) == ("correct", "turn left", "cafe")
    wrong = right.replace("left", "north")
    out = graded(derotate("grade", "ood-n0001-4-3of7", wrong, "--task", "navigation"))
    assert out["error kind"] == "id_rule_applied"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("3 3 8 8", "x", "--task", "chess"), "determinant, general_points, navigation, rank"),
        (("1 2 / 3", "x", "--task", "rank"), "rows of one length"),
        (("1 2 3 / 4 5 6", "x", "--task", "determinant"), "2x3"),
        (("ood-n0001-4", "x", "--task", "navigation"), "ood-n0001-4-3of7"),
        (("ood-n0001-9-3of7", "x", "--task", "navigation"), "no such step"),
        (("1 2 / 3 4", "x", "--task", "rank", "--target", "3"), "--target"),
        (("3 3 8 Z", "x"), "Z"),
        (("", "x"), "no cards"),
        (("3 3 8 8", "x", "--rule", "11,12"), "--rule"),
        (("3 3 8 8", "x", "--rule", "a,b,c"), "--rule"),
        (("3 3 8 8", "x", "--style", "verbose"), "--style"),
    ],
)
def test_grade_refuses_a_bad_hand_rule_or_style_in_one_line(
    arguments: tuple[str, ...], expected: str
) -> None:
    result = derotate("grade", *arguments)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "--gpu-hours: missing"),
        (("--gpu-hours=-3",), "--gpu-hours: got -3"),
        (("--gpu-hours=0.01",), "expected at least"),
        (("--gpu-hours=1", "--configfile=absent.yaml"), "absent.yaml"),
        (("--gpu-hours=1", "--costs=absent"), "absent: no config.yaml"),
        (("--check=absent",), "absent: no config.yaml"),
    ],
)
def test_a_plan_that_cannot_be_made_is_explained_in_one_line(
    arguments: tuple[str, ...], expected: str
) -> None:
    result = derotate("plan", *arguments)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_command_line_starts_without_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from derotate.cli import app;"
        "CliRunner().invoke(app, ['config', 'default']);"
        "CliRunner().invoke(app, ['grade', '3 3 8 8', 'x']);"
        "print(sorted({'torch', 'transformers', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

# SPDX-License-Identifier: MIT
"""What a job's log shows, and that its threads come from the config."""

import subprocess
import sys
from pathlib import Path

import pytest

JOB = """
from derotate.runs import job_setup as runtime
runtime.start({log!r}, 3)
{body}
"""
REFUSED = """
from pathlib import Path
from derotate.models.checkpoint import load_state
load_state(Path('x'))
"""


def job(body: str, log: Path) -> tuple[int, str]:
    code = JOB.format(log=str(log), body=body)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == done.stderr == ""
    return done.returncode, log.read_text()


def test_a_refusal_is_one_line_in_the_log(tmp_path: Path) -> None:
    code, text = job(REFUSED, tmp_path / "job.log")
    assert code == 1
    assert text.count("\n") == 1
    assert text.startswith("x: no model.safetensors, expected a Hugging Face model directory")


def test_any_other_error_leaves_its_traceback_in_the_log(tmp_path: Path) -> None:
    code, text = job("def deep(): 1 / 0\ndeep()", tmp_path / "logs/job.log")
    assert code == 1
    assert text.startswith("Traceback") and "in deep" in text
    assert text.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("library", ["OMP", "MKL", "OPENBLAS"])
def test_threads_are_those_of_the_config(library: str, tmp_path: Path) -> None:
    body = f"import os; print(os.environ['{library}_NUM_THREADS'], os.environ['OMP_DYNAMIC'])"
    assert job(body, tmp_path / "job.log") == (0, "3 FALSE\n")

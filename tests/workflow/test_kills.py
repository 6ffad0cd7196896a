# SPDX-License-Identifier: MIT
"""After a kill at any time, the same command resumes the run and gives the same results."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from checkout import FINISHED, PATIENCE, SMOKE, environment, files, leftovers, options, tables

pytestmark = pytest.mark.slow

SEED: Final = 20_240_117
BASE: Final = Path("results/smoke/general_points/base-1/base")

# Lengthens the time between two moves of a checkpoint's files, so that the kill falls into it.
SLOW_MOVES: Final = """
    import os, time

    moved = os.replace

    def replace(source, target):
        moved(source, target)
        if ".scratch" in str(source):
            time.sleep(0.5)

    os.replace = replace
    """


class Run:
    """`derotate run`, as make calls it, in a process group of its own."""

    def __init__(self, folder: Path, output: Path, *path: Path) -> None:
        self._output = output
        paths = os.pathsep.join([*map(str, path), environment(folder)["PYTHONPATH"]])
        with output.open("w") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "derotate.cli", "run", "--", *options(SMOKE)],
                cwd=folder,
                env={**environment(folder), "PYTHONPATH": paths},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """All output so far."""
        return self._output.read_text()

    def kill_when(self, moment: Callable[[], bool], seconds: float = 0.0) -> None:
        """SIGKILL the process group `seconds` after that moment, before the run has ended."""
        deadline = time.monotonic() + PATIENCE
        while not moment():
            assert self._process.poll() is None, f"ended before the moment to kill:\n{self.said}"
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.005)
        time.sleep(seconds)
        assert self._process.poll() is None, f"ended before it was killed:\n{self.said}"
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def finish(self) -> None:
        """Wait for the end of the run, which must succeed."""
        assert self._process.wait(timeout=PATIENCE) == 0, self.said


def has_done(run: Run, jobs: int) -> bool:
    """Whether a run has finished at least this number of jobs."""
    return len(FINISHED.findall(run.said)) >= jobs


def test_five_kills_change_no_result_and_leave_nothing_half_written(
    smoked: Path, fresh: Path, tmp_path: Path
) -> None:
    output, base = tmp_path / "output.txt", fresh / BASE
    dice = random.Random(SEED)

    # during training: the scratch folder of the trainer exists, the checkpoint does not
    training = base / ".training.csv.scratch"
    Run(fresh, output).kill_when(training.exists)
    assert training.exists()
    assert not (base / "model.safetensors").exists()

    # during the move into place: some files of the checkpoint are moved, the weights are not
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(textwrap.dedent(SLOW_MOVES))
    aside = base.with_name(".base.scratch")
    Run(fresh, output, slow).kill_when((base / "config.json").exists)
    assert (aside / "model.safetensors").exists()
    assert not (base / "model.safetensors").exists()

    # at random moments (seeded), counted in jobs so that a slow machine is killed at the same ones
    for _ in range(3):
        run, jobs = Run(fresh, output), dice.randint(1, 5)
        run.kill_when(partial(has_done, run, jobs), dice.uniform(0, 3))
    Run(fresh, output).finish()

    assert tables(fresh) == tables(smoked)
    assert files(fresh) == files(smoked)
    assert leftovers(fresh) == []

# SPDX-License-Identifier: MIT
"""Runs of `derotate slurm` in a checkout, the diary of their jobs, and SLURM's records."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import checkout

PATIENCE: Final = 900.0
"""Seconds after which a run is aborted; an idle machine needs a minute."""
FAULTS: Final = "results/smoke/faults"
QUICK: Final = ("--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "10")


class Run:
    """`derotate slurm -- ARGUMENTS` in a checkout, as make calls it, on the study with faults."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        options: tuple[str, ...] = (),
        snakefile: str = "tests/slurm/Snakefile",
    ) -> None:
        self._output = folder / f"output-{time.monotonic_ns()}.txt"
        # --configfile takes all words that follow, so targets come behind another option
        command = [
            *(sys.executable, "-m", "derotate.cli", "slurm", *options, "--"),
            *("--snakefile", snakefile, "--configfile", checkout.SMOKE),
            *QUICK,
            *arguments,
        ]
        with self._output.open("w") as stream:
            self._process = subprocess.Popen(
                command, cwd=folder, env=checkout.environment(folder),
                stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """All output so far."""
        return self._output.read_text()

    @property
    def last(self) -> str:
        """The last line of the output."""
        return self.said.strip().splitlines()[-1]

    def wait_until(self, moment: Callable[[], bool]) -> None:
        """Wait for a condition that holds before the run ends."""
        deadline = time.monotonic() + PATIENCE
        while not moment():
            assert self._process.poll() is None, f"ended before that moment:\n{self.said}"
            assert time.monotonic() < deadline, f"waited in vain:\n{self.said}"
            time.sleep(0.2)

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        os.killpg(self._process.pid, signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL the run with all its local processes; its SLURM jobs continue."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def finish(self) -> int:
        """Wait for the end of the run; returns its exit code."""
        try:
            return self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end after {PATIENCE:.0f} s:\n{self.said}") from None


def diary(folder: Path, rule: str) -> list[tuple[str, str]]:
    """The diary entries of a rule: (start or end, SLURM job id)."""
    file = folder / "diary.txt"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [(event, number) for event, name, number in lines if name == rule]


def state(number: str) -> dict[str, str]:
    """SLURM's record of a job: keys and values."""
    said = subprocess.run(
        ["scontrol", "--oneliner", "show", "job", number],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    return dict(word.split("=", 1) for word in said.split() if "=" in word)

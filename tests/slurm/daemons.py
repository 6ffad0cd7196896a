# SPDX-License-Identifier: MIT
"""Programs in the background without systemd: each in its own session, known by a noted pid."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATE: Final = Path("/var/lib/derotate-slurm")
"""Where notes, logs and what the daemons keep are; only root may write there."""
STOP_PATIENCE: Final = 20.0
"""Seconds that a daemon may take to end before it is killed."""


def becomes(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition holds within so many seconds."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return holds


@dataclass(frozen=True)
class Daemon:
    """A program that runs in the background, known by the file that holds its pid."""

    name: str
    command: tuple[str, ...]

    @property
    def pid(self) -> int | None:
        """Its pid while it lives: a number that now belongs to another program is none."""
        try:
            pid = int((STATE / f"{self.name}.pid").read_text())
            alive = Path(f"/proc/{pid}/comm").read_text().strip() == self.name
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        # without an init process a daemon that has ended stays in the table as a zombie
        return pid if alive and state != "Z" else None

    def start(self, *options: str) -> None:
        """Start it unless it lives, and note its pid.

        In the foreground of a session of its own: one that detaches itself notes its pid late, and
        if it cannot have its port it overwrites the note of the one that has.
        """
        if self.pid is not None:
            return
        STATE.mkdir(parents=True, exist_ok=True)
        with (STATE / "output.log").open("a") as output:
            process = subprocess.Popen(
                [*self.command, *options], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        (STATE / f"{self.name}.pid").write_text(str(process.pid))

    def stop(self) -> None:
        """End it and wait for its end; kill it if it does not."""
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        if not becomes(lambda: self.pid is None, STOP_PATIENCE):
            os.kill(pid, signal.SIGKILL)
            becomes(lambda: self.pid is None, STOP_PATIENCE)

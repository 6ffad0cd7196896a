# SPDX-License-Identifier: MIT
"""What a long training keeps beside its outputs, to go on from when its job was ended from outside.

Snakemake removes the outputs of a job that did not finish before it starts it again: the states and
checkpoints that a preempted job has made so far have to lie elsewhere. They lie in a hidden folder,
under the key of all that the training depends on; a job with another key starts from nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from transformers import TrainerCallback

from derotate.models.checkpoint import move_into_place
from derotate.training.fsdp import Compute
from derotate.training.launch import is_first, wait_for_all

_KEY: Final = "key"
_STATE: Final = "state-"


@dataclass(frozen=True)
class Kept:
    """A folder with the newest state of a training and the checkpoints that it has left so far."""

    folder: Path

    @classmethod
    def beside(
        cls, log: Path, compute: Compute, *, origin: str, read: Iterable[Path]
    ) -> Kept | None:
        """The folder of a training, by one process, before any trains; None if it keeps nothing.

        Args:
            log: of the training, beside which the folder lies.
            compute: says whether states are kept.
            origin: digest of settings and code.
            read: the files that the training depends on; when each was last written counts, as make
                would ask.
        """
        if not compute.save_state_every:
            return None
        files = [(path.name, path.stat().st_mtime_ns) for path in read]
        return cls.opened(log.with_name(f".{log.name}.kept"), json.dumps([origin, *files]))

    @classmethod
    def opened(cls, folder: Path, key: str) -> Kept:
        """The folder of that key, emptied if it is of another; by one process, before any trains.

        Args:
            folder: beside the outputs, on their file system.
            key: digest of all that the training depends on.
        """
        file = folder / _KEY
        if not file.is_file() or file.read_text(encoding="utf-8") != key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            file.write_text(key, encoding="utf-8")
        return cls(folder)

    def newest(self) -> tuple[int, Path] | None:
        """Step and folder of the newest state; None if there is none yet."""
        states = [(_step(path), path) for path in self.folder.glob(f"{_STATE}*")]
        return max(states, default=None)

    def state(self, step: int) -> Path:
        """Where the state after that step lies."""
        return self.folder / f"{_STATE}{step}"

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of that step waits for the end of the training."""
        return self.folder / f"step-{step}"

    def checkpoints(self, steps: Iterable[int]) -> dict[int, Path]:
        """The same of several steps."""
        return {step: self.checkpoint(step) for step in steps}

    def deliver(self, directories: Mapping[int, Path]) -> None:
        """Move each step's checkpoint into its directory, the weights last; remove the folder.

        A job that is killed in between begins anew, since half of the checkpoints are gone from
        here and Snakemake removes the others.
        """
        (self.folder / _KEY).unlink()
        for step, directory in directories.items():
            move_into_place(self.checkpoint(step), directory)
        shutil.rmtree(self.folder)


class KeepStates(TrainerCallback):
    """Leaves the training state after some steps; of those kept, only the newest.

    The trainer writes a state where a kill can leave half of it; it is moved into place when every
    process has written its part.
    """

    def __init__(self, *, stop: int, state: Path | None, every: int, kept: Kept | None) -> None:
        """Keep states.

        Args:
            stop: the last step.
            state: where to leave the state after it; None leaves none.
            every: steps between two states that are kept on the way; 0 keeps none.
            kept: where those go.
        """
        self._stop = stop
        self._state = state
        self._every = every
        self._kept = kept

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask the trainer for the state of this step, if it is wanted."""
        if self._place(state.global_step) is not None:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move what the trainer has written into place."""
        place = self._place(state.global_step)
        wait_for_all()
        if place is not None and is_first():
            before = self._kept.newest() if self._kept and place != self._state else None
            shutil.rmtree(place, ignore_errors=True)
            os.replace(Path(args.output_dir, f"checkpoint-{state.global_step}"), place)
            if before:
                shutil.rmtree(before[1])
        wait_for_all()

    def _place(self, step: int) -> Path | None:
        if step == self._stop:
            return self._state
        if self._kept and self._every and step % self._every == 0:
            return self._kept.state(step)
        return None


def _step(state: Path) -> int:
    return int(state.name.removeprefix(_STATE))

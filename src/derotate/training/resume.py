# SPDX-License-Identifier: MIT
"""Resume a training whose job was preempted or killed.

Before Snakemake restarts a job it deletes the job's outputs. So training states, and checkpoints
that are finished, are kept in a hidden folder beside the log until the training ends. The folder
carries a key of everything that the training depends on. A job with another key starts over.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from transformers import TrainerCallback

from derotate.models.checkpoint import move_into_place
from derotate.training.collectives import barrier, is_main_process

if TYPE_CHECKING:
    from derotate.config.training import Compute

_KEY: Final = "key"
_STATE: Final = "state-"


@dataclass(frozen=True)
class ResumeFolder:
    """The latest training state of an unfinished training and its checkpoints so far."""

    folder: Path

    @classmethod
    def beside(
        cls, log: Path, compute: Compute, *, origin: str, inputs: Iterable[Path]
    ) -> ResumeFolder | None:
        """The resume folder of a training; None if it saves no states.

        Called by one process, before the training starts.

        Args:
            log: of the training; the folder lies beside it.
            compute: says how often states are saved.
            origin: digest of settings and code.
            inputs: files that the training reads; a changed mtime invalidates the folder.
        """
        if not compute.save_state_every:
            return None
        mtimes = [(path.name, path.stat().st_mtime_ns) for path in inputs]
        return cls.open(log.with_name(f".{log.name}.resume"), json.dumps([origin, *mtimes]))

    @classmethod
    def open(cls, folder: Path, key: str) -> ResumeFolder:
        """Open the folder, and empty it if it was written under another key.

        Args:
            folder: on the file system of the outputs, so that they can be moved.
            key: digest of everything that the training depends on.
        """
        file = folder / _KEY
        if not file.is_file() or file.read_text(encoding="utf-8") != key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            file.write_text(key, encoding="utf-8")
        return cls(folder)

    def latest_state(self) -> tuple[int, Path] | None:
        """Step and folder of the latest training state; None if there is none yet."""
        states = [(_step(path), path) for path in self.folder.glob(f"{_STATE}*")]
        return max(states, default=None)

    def state(self, step: int) -> Path:
        """Where the training state of a step belongs."""
        return self.folder / f"{_STATE}{step}"

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step waits for the end of the training."""
        return self.folder / f"step-{step}"

    def checkpoints(self, steps: Iterable[int]) -> dict[int, Path]:
        """Step -> `checkpoint(step)`."""
        return {step: self.checkpoint(step) for step in steps}

    def replace_state(self, written: Path, step: int) -> None:
        """Move a complete state to its place, then remove the one before; one process calls this.

        `files.atomic` does not fit: the state was written by all processes together, and the old
        state has another name.
        """
        previous = self.latest_state()
        os.replace(written, self.state(step))
        if previous:
            shutil.rmtree(previous[1])

    def deliver(self, outputs: Mapping[int, Path]) -> None:
        """Move the checkpoints to the job's outputs and remove the folder.

        Args:
            outputs: step -> checkpoint directory.
        """
        # Without its key the folder is invalid. A job that is killed from here on starts over:
        # Snakemake deletes the outputs that were moved already.
        (self.folder / _KEY).unlink()
        for step, directory in outputs.items():
            move_into_place(self.checkpoint(step), directory)
        shutil.rmtree(self.folder)


class SaveTrainingState(TrainerCallback):
    """Saves the state of transformers' trainer (weights, optimizer, schedule, random numbers).

    The trainer writes `checkpoint-N`, which a kill can leave incomplete. So the folder is moved to
    its place only after every process has written its shard.
    """

    def __init__(
        self, *, last_step: int, final_state: Path | None, every: int, resume: ResumeFolder | None
    ) -> None:
        """Save training states.

        Args:
            last_step: of the training.
            final_state: where to leave the state after the last step; None leaves none.
            every: steps between two states for resuming; 0 saves none.
            resume: where those go; the latest replaces the one before.
        """
        self._last_step = last_step
        self._final_state = final_state
        self._every = every
        self._resume = resume

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Request a state from the trainer at the steps that need one."""
        if self._is_saved(state.global_step):
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the state that the trainer has written to its place."""
        step = state.global_step
        written = Path(args.output_dir, f"checkpoint-{step}")
        barrier()
        if is_main_process() and self._is_saved(step):
            if step == self._last_step and self._final_state:
                shutil.rmtree(self._final_state, ignore_errors=True)
                os.replace(written, self._final_state)
            elif self._resume:
                self._resume.replace_state(written, step)
        barrier()

    def _is_saved(self, step: int) -> bool:
        if step == self._last_step:
            return self._final_state is not None
        return bool(self._resume and self._every and step % self._every == 0)


def _step(state: Path) -> int:
    return int(state.name.removeprefix(_STATE))

# SPDX-License-Identifier: MIT
"""One RL run as an object: built by the script, pickled into processes, taken by `train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from derotate.models.chat import Prompt
from derotate.training.resume import ResumeFolder

if TYPE_CHECKING:
    from derotate.config.rl import RlSettings
    from derotate.config.training import Compute

Settings = TypeVar("Settings", bound="RlSettings")


class Environment(Protocol):
    """The problems of a run, by index, and what a response to one earns. It must be picklable."""

    @property
    def prompts(self) -> Sequence[Prompt]:
        """The prompt of each problem."""

    @property
    def correct_reward(self) -> float:
        """A response that earns this or more counts as correct in the log."""

    @property
    def inputs(self) -> Sequence[Path]:
        """Files that the problems are read from."""

    def reward(self, problem: int, response: str, /) -> float:
        """The reward of a response, whose text has no special tokens."""

    def feedback(self, problem: int, response: str, /) -> str | None:
        """The verifier's message on a wrong response; None ends the episode."""


@dataclass(frozen=True)
class RlJob(Generic[Settings]):
    """One RL run.

    Equal jobs leave equal bytes, for one number of torch threads and of processes.

    Attributes:
        environment: prompts, rewards and feedback.
        start: checkpoint directory of the initial policy.
        checkpoints: update -> directory of the checkpoint to leave after it.
        log: CSV with one row per update; `advantages.csv` is written beside it.
        settings: of the algorithm, `compute` included.
        max_new_tokens: length limit of a response.
        seed: of problems, samples, minibatches and the value head.
        shuffle_rewards: permute the rewards within each update, so that they keep their
            distribution and carry no information: the control of RL, by GRPO. The log shows the
            rewards before.
        resume: where training states are saved; the run resumes from the latest.

    Raises:
        ValueError: a checkpoint is requested at an update that the run does not have.
    """

    environment: Environment
    start: Path
    checkpoints: Mapping[int, Path]
    log: Path
    settings: Settings
    max_new_tokens: int
    seed: int
    shuffle_rewards: bool = False
    resume: ResumeFolder | None = None

    def __post_init__(self) -> None:
        updates = self.settings.updates
        if not all(1 <= update <= updates for update in self.checkpoints):
            raise ValueError(
                f"checkpoints: got updates {sorted(self.checkpoints)}, expected updates from 1 to "
                f"{updates}; raise the number of updates or remove the others"
            )

    @property
    def compute(self) -> Compute:
        """Processes, micro-batches and precision of the run."""
        return self.settings.compute

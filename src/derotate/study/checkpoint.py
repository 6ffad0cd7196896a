# SPDX-License-Identifier: MIT
"""Checkpoints by label, and the columns that a label or the path of an evaluation stands for.

Labels are `base`, `sft-STEP`, `ARM-STEP` and `rl-ALGORITHM-START-UPDATE`. Tables name an RL run by
its label without the update, which is then the last one that was evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from derotate.study.arms import ARMS
from derotate.study.rl_algorithms import RL_ALGORITHMS

_SFT_LABEL: Final = rf"(?:sft|{'|'.join(ARMS)})-\d+"
_RL_LABEL: Final = rf"rl-(?:{'|'.join(RL_ALGORITHMS)})-\d+"
LABEL: Final = rf"base|{_SFT_LABEL}|{_RL_LABEL}-\d+"
"""Pattern of the labels that a file of a checkpoint can have."""
_ANY: Final = re.compile(rf"{LABEL}|{_RL_LABEL}")
_EVALUATION: Final = re.compile(
    r".*/base-(?P<base_seed>\d+)/(?:seed-(?P<seed>\d+)/)?evaluations/"
    r"(?:surgery/from-(?P<donor>[a-z0-9-]+)-into-(?P<patient>[a-z0-9-]+)/(?P<recipe>[^/]+)"
    r"|(?P<label>[a-z0-9-]+))\.parquet"
)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run, or an RL run whose last update is meant.

    Attributes:
        stage: base, sft, the name of an arm, or rl.
        step: of SFT, or the RL update; None for the base and for the last update of an RL run.
        algorithm: of RL; empty otherwise.
        start: SFT step at which RL starts; None otherwise.
    """

    stage: str
    step: int | None = None
    algorithm: str = ""
    start: int | None = None

    @classmethod
    def parse(cls, label: str) -> Checkpoint:
        """The checkpoint of a label.

        Raises:
            ValueError: not a label.
        """
        if not _ANY.fullmatch(label):
            steps = ", ".join(f"{stage}-STEP" for stage in ("sft", *ARMS))
            raise ValueError(
                f"checkpoint {label}: expected base, {steps} or rl-ALGORITHM-START-UPDATE"
            )
        stage, *parts = label.split("-")
        if stage != "rl":
            return cls(stage, int(parts[0]) if parts else None)
        algorithm, start, *update = parts
        return cls.rl(algorithm, int(start), int(update[0]) if update else None)

    @classmethod
    def sft(cls, step: int) -> Checkpoint:
        """The checkpoint of an SFT step."""
        return cls("sft", step)

    @classmethod
    def rl(cls, algorithm: str, start: int, update: int | None = None) -> Checkpoint:
        """The checkpoint of an RL update; without one, the last of the run."""
        return cls("rl", update, algorithm, start)

    @property
    def label(self) -> str:
        """Its label."""
        parts = (self.stage, self.algorithm, self.start, self.step)
        return "-".join(str(part) for part in parts if part not in ("", None))

    @property
    def columns(self) -> dict[str, Any]:
        """Its columns in the table of all evaluations."""
        return {
            "stage": self.stage,
            "algorithm": self.algorithm,
            "start": self.start,
            "step": self.step,
        }

    def directory(self, base: str, run: str) -> str:
        """Its directory, given those of its base seed and of its run.

        Raises:
            ValueError: the last update of an RL run, which is no directory's name.
        """
        if self.stage == "base":
            return f"{base}/base"
        if self.step is None:
            raise ValueError(f"checkpoint {self.label}: expected {self.label}-UPDATE")
        folder = f"rl/{self.algorithm}/from-{self.start}" if self.algorithm else self.stage
        return f"{run}/{folder}/step-{self.step}"


def evaluation_columns(path: str) -> dict[str, Any]:
    """The columns that go before the rows of an evaluation, from its path.

    Raises:
        ValueError: not the path of an evaluation.
    """
    found = _EVALUATION.fullmatch(path)
    if found is None:
        raise ValueError(f"{path}: not the path of an evaluation of a study")
    label, donor, patient = found["label"], found["donor"], found["patient"]
    evaluated = Checkpoint.parse(label) if label else Checkpoint("surgery")
    columns: dict[str, Any] = {
        "base_seed": int(found["base_seed"]),
        "seed": int(found["seed"]) if found["seed"] else None,
        **evaluated.columns,
        "donor": None,
        "patient": patient or "",
        "recipe": found["recipe"] or "",
        "direction": "",
    }
    if donor:
        source = Checkpoint.parse(donor)
        columns["donor"] = source.step if source.stage == "sft" else None
        into_rl = Checkpoint.parse(patient).stage == "rl"
        columns["direction"] = "reverse" if into_rl else "forward"
    return columns

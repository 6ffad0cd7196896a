# SPDX-License-Identifier: MIT
"""The SFT arms beside plain SFT: one entry per arm, from which rules, labels and tables follow.

An arm has a config block of its name with `steps`. A key of that block which `sft` has too replaces
SFT's; other keys describe a LoRA adapter. The entry here gives it a rule, a folder in each run, a
stage in the tables and a unit in plans. The module imports no config, so tables that list arms do
not rerun when the config schema changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from derotate.config.schema import Config


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        label: what its jobs do, for their messages.
        description: what it trains on, as the subject of a sentence on a page.
        stream: PART.FUNCTION of the task's package, which yields its training problems for a seed;
            None where it trains on the samples of SFT.
    """

    label: str
    description: str
    stream: str | None = None


ARMS: Final[Mapping[str, Arm]] = MappingProxyType(
    {
        "lora": Arm("LoRA SFT", "SFT of a low-rank adapter"),
        "oracle": Arm(
            "SFT of the oracle",
            "SFT on problems of both rules in turn, an upper bound for supervision,",
            stream="streams.oracle_stream",
        ),
        "diverse": Arm(
            "SFT with varied prompts",
            "SFT on prompts with varied rules, never the OOD rule, with some larger numbers,",
            stream="diverse.diverse_stream",
        ),
    }
)
"""By name, in the order of tables and plans."""


def arm_steps(config: Config) -> dict[str, tuple[int, ...]]:
    """The steps at which each enabled arm of a study saves a checkpoint."""
    return {arm: steps for arm in ARMS if (steps := getattr(config, arm).steps)}

# SPDX-License-Identifier: MIT
"""The arms beside SFT, by name: what labels, tables and plans go by.

An arm is a block of the config with `steps`, a rule of that name, a folder of a run, and a stage of
the tables. It stands in a module of its own so that tables that compare arms, and hence rerun with
it, need not know the config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from derotate.config.schema import Config

ARMS: Final = ("lora", "oracle", "diverse")
"""In the order of tables and plans."""
OWN_SAMPLES: Final = frozenset({"oracle", "diverse"})
"""Arms that train on other samples than SFT does, by the rule `ARM_samples`."""


def arm_steps(config: Config) -> dict[str, tuple[int, ...]]:
    """The steps at which each arm of a study leaves a checkpoint; arms without steps left out."""
    return {arm: steps for arm in ARMS if (steps := getattr(config, arm).steps)}

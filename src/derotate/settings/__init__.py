# SPDX-License-Identifier: MIT
"""The blocks of a config: settings of one stage each, typed, with defaults and descriptions.

The defaults are the demo. `derotate.config` puts the blocks together and checks them against each
other. A stage takes the block it needs as an argument and imports this for type checking only, so
that a new key reruns nothing.
"""

from derotate.settings.block import Block, Seed
from derotate.settings.model import PRETRAINED_FORM, TINY_FORM, Model, PretrainedModel, TinyModel
from derotate.settings.rl import Grpo, Ppo, Rl
from derotate.settings.scoring import Evaluation, Landmarks, Suite
from derotate.settings.study import Budget, Further
from derotate.settings.surgery import Diagnostics, Guards, Surgery
from derotate.settings.training import Base, Compute, Diverse, Lora, Mixture, Oracle, Phase, Sft

__all__ = [
    "PRETRAINED_FORM",
    "TINY_FORM",
    "Base",
    "Block",
    "Budget",
    "Compute",
    "Diagnostics",
    "Diverse",
    "Evaluation",
    "Further",
    "Grpo",
    "Guards",
    "Landmarks",
    "Lora",
    "Mixture",
    "Model",
    "Oracle",
    "Phase",
    "Ppo",
    "PretrainedModel",
    "Rl",
    "Seed",
    "Sft",
    "Suite",
    "Surgery",
    "TinyModel",
]

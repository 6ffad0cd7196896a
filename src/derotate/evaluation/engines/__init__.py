# SPDX-License-Identifier: MIT
"""The engines that write a model's responses, one module each, and the packages they need.

A module has `responding(model, tokenizer)`: a context in which there is a
`derotate.evaluation.evaluate.Responder`. Losses are no engine's work: transformers computes them.
The environment of an engine's rules is `envs/<environment>.yaml`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

ENVIRONMENTS: Final = {"transformers": "train", "vllm": "vllm"}
"""Engine -> environment; an engine has the name of its package."""


class MissingEngineError(RuntimeError):
    """An engine that is asked for and not installed: one line with the key and the remedy."""


def require(key: str, engine: str) -> None:
    """Refuse an engine whose package this Python does not have; it is looked for, not imported.

    Args:
        key: of the config that asks for it, e.g. `evaluation.engine`.
        engine: its name.

    Raises:
        MissingEngineError: it is not installed.
    """
    if find_spec(engine) is None:
        raise MissingEngineError(
            f"{key}: got {engine}, expected transformers, since the package {engine} is not "
            "installed; run with --sdm conda, install it here (pip install '.[vllm]'), or change "
            "the key"
        )

# SPDX-License-Identifier: MIT
"""The engines that generate responses, one module each, and the packages they need.

A module has a context manager `responding(model, tokenizer)` that yields a
`derotate.evaluation.evaluate.Responder`. Losses are always computed with transformers. The
environment of an engine's rules is `envs/<environment>.yaml`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

ENVIRONMENTS: Final = {"transformers": "train", "vllm": "vllm"}
"""Engine -> environment; an engine is named after its package."""


class MissingEngineError(RuntimeError):
    """The configured engine is not installed: one line with the key and the remedy."""


def require(key: str, engine: str) -> None:
    """Refuse an engine whose package is not installed.

    Args:
        key: config key that names the engine, e.g. `evaluation.engine`.
        engine: its name.

    Raises:
        MissingEngineError: it is not installed.
    """
    # Found, not imported: importing vLLM takes seconds and needs a GPU.
    if find_spec(engine) is None:
        raise MissingEngineError(
            f"{key}: got {engine}, expected transformers, since the package {engine} is not "
            "installed; run with --sdm conda, install it here (pip install '.[vllm]'), or change "
            "the key"
        )

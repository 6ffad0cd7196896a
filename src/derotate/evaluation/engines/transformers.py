# SPDX-License-Identifier: MIT
"""Responses by transformers, from the model as it is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from derotate.evaluation.evaluate import Responder, respond


@contextmanager
def responding(model: Any, tokenizer: Any) -> Iterator[Responder]:
    """What responds with this model."""
    yield partial(respond, model, tokenizer)

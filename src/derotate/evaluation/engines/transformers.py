# SPDX-License-Identifier: MIT
"""Responses by transformers from a model in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from derotate.evaluation.evaluate import Responder, respond


@contextmanager
def responding(model: Any, tokenizer: Any) -> Iterator[Responder]:
    """A responder for a model in memory."""
    yield partial(respond, model, tokenizer)

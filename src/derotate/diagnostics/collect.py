# SPDX-License-Identifier: MIT
"""Hidden states and next-token distributions of a checkpoint, and its divergence from the base.

Sequences are padded on the left with positions that start at the first real token, as generation
does, so that a prompt gives the same in any batch up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from derotate.diagnostics.states import Floats, States
from derotate.models.chat import Prompt, answer_ids, left_padded, prompt_ids


def collect_states(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], batch_size: int, positions: int = 1
) -> States:
    """States at the last positions of each prompt: the last one predicts the answer's first token.

    `last_hidden_state` of the body is after the final norm already; the published script applies
    the norm once more (papers.md, section 5, fault 12). Each position keeps its distribution of
    its own.

    Args:
        model: causal language model in evaluation mode whose logits are a linear head on the last
            hidden state (Llama, Qwen2).
        tokenizer: its tokenizer.
        prompts: in any order; the result follows it.
        batch_size: prompts in a batch.
        positions: last positions of each prompt to keep (the papers take 8).

    Returns:
        Float32 arrays, hidden [prompts, positions, width] and log_probs
        [prompts, positions, vocabulary].

    Raises:
        ValueError: no prompts, or one with fewer tokens than `positions`.
    """
    sequences = prompt_ids(tokenizer, prompts)
    shortest = min(map(len, sequences), default=0)
    if positions < 1 or shortest < positions:
        raise ValueError(
            f"positions = {positions}, expected 1 to {shortest}, the tokens of the shortest prompt"
        )
    hidden: list[Any] = [None] * len(sequences)
    log_probs: list[Any] = [None] * len(sequences)
    for batch in _batches(sequences, batch_size):
        states = _hidden(model, tokenizer, [sequences[i] for i in batch])[:, -positions:]
        tokens = _log_probs(model, states)
        for row, i in enumerate(batch):
            hidden[i] = states[row].to(torch.float32).numpy(force=True)
            log_probs[i] = tokens[row].to(torch.float32).numpy(force=True)
    return States(np.stack(hidden), np.stack(log_probs))


def forward_divergence(
    base: Any,
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    answers: Sequence[str],
    batch_size: int,
) -> Floats:
    """KL(base || model) in nats a token along each reference answer and its end token, [prompts].

    The predictor of forgetting of arXiv 2509.04259, on prompts of the fine-tuned (ID) task. The
    whole vocabulary enters at each token, so this is exact given the answer, not a sample; answers
    are the references, not draws of the base.

    Args:
        base: causal language model in evaluation mode, see `collect_states`.
        model: the fine-tuned one.
        tokenizer: of both.
        prompts: in any order; the result follows it.
        answers: the reference answer to each, without end token.
        batch_size: prompts in a batch.
    """
    asked = prompt_ids(tokenizer, prompts)
    given = answer_ids(tokenizer, answers)
    sequences = [[*question, *answer] for question, answer in zip(asked, given, strict=True)]
    divergences = np.zeros(len(sequences))
    for batch in _batches(sequences, batch_size):
        # A token is predicted one position before it; after the end token nothing is asked.
        window = slice(-max(len(given[i]) for i in batch) - 1, -1)
        ids = [sequences[i] for i in batch]
        before, after = (
            _log_probs(own, _hidden(own, tokenizer, ids)[:, window]) for own in (base, model)
        )
        tokens = (before.exp() * (before - after)).sum(-1)
        for row, i in enumerate(batch):
            divergences[i] = float(tokens[row, -len(given[i]) :].mean())
    return divergences


def _hidden(model: Any, tokenizer: Any, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Last hidden states after the final norm, [sequences, longest, width], padded on the left."""
    ids, mask = left_padded(tokenizer, sequences)
    places = (mask.cumsum(1) - 1).clamp_min(0)
    with torch.inference_mode():
        hidden: Tensor = model.base_model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            position_ids=places.to(model.device),
            use_cache=False,
        ).last_hidden_state
    return hidden


def _log_probs(model: Any, hidden: Tensor) -> Tensor:
    """Log-probabilities of the next token on the CPU, in float64: small divergences cancel."""
    with torch.inference_mode():
        logits: Tensor = model.get_output_embeddings()(hidden)
        return logits.to("cpu", torch.float64).log_softmax(-1)


def _batches(sequences: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, so that little is padded."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    for start in range(0, len(order), size):
        yield order[start : start + size]

# SPDX-License-Identifier: MIT
"""Hidden states and next-token distributions of a checkpoint, and its divergence from the base.

As in generation, sequences are padded on the left and positions start at the first real token, so a
prompt gives the same states in any batch up to rounding.
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
    """States at the last positions of each prompt; the last predicts the answer's first token.

    `last_hidden_state` already includes the final norm; the published script applies the norm a
    second time (a fault of the code released with arXiv 2509.12235). Positions are not averaged.

    Args:
        model: causal language model in evaluation mode whose logits are a linear head on the last
            hidden state (Llama, Qwen2).
        tokenizer: its tokenizer.
        prompts: in any order; states have the same order.
        batch_size: prompts per batch.
        positions: last positions of each prompt to collect (the papers use 8).

    Returns:
        Float32 arrays, hidden [prompts, positions, width] and log_probs
        [prompts, positions, vocabulary].

    Raises:
        ValueError: no prompts, or a prompt with fewer tokens than `positions`.
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
    """KL(base || model) in nats per token along each reference answer and its end token, [prompts].

    The predictor of forgetting of arXiv 2509.04259, on prompts of the fine-tuned (ID) task. Each
    token sums over the whole vocabulary, so the divergence is exact given the answer. Answers are
    the references, not samples of the base.

    Args:
        base: causal language model in evaluation mode, see `collect_states`.
        model: the fine-tuned model.
        tokenizer: of both.
        prompts: in any order; divergences have the same order.
        answers: the reference answer to each prompt, without end token.
        batch_size: prompts per batch.
    """
    questions = prompt_ids(tokenizer, prompts)
    targets = answer_ids(tokenizer, answers)
    sequences = [[*question, *answer] for question, answer in zip(questions, targets, strict=True)]
    divergences = np.zeros(len(sequences))
    for batch in _batches(sequences, batch_size):
        # A token is predicted one position before it, and nothing follows the end token.
        window = slice(-max(len(targets[i]) for i in batch) - 1, -1)
        ids = [sequences[i] for i in batch]
        before, after = (
            _log_probs(own, _hidden(own, tokenizer, ids)[:, window]) for own in (base, model)
        )
        # KL(p || q) = sum p (log p - log q), [sequences, positions]
        tokens = (before.exp() * (before - after)).sum(-1)
        for row, i in enumerate(batch):
            divergences[i] = float(tokens[row, -len(targets[i]) :].mean())
    return divergences


def _hidden(model: Any, tokenizer: Any, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Last hidden states after the final norm, [sequences, longest, width], padded on the left."""
    ids, mask = left_padded(tokenizer, sequences)
    # Without explicit positions the padding would shift those of the prompt.
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    with torch.inference_mode():
        hidden: Tensor = model.base_model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            position_ids=positions.to(model.device),
            use_cache=False,
        ).last_hidden_state
    return hidden


def _log_probs(model: Any, hidden: Tensor) -> Tensor:
    """Log-probabilities of the next token, float64 on the CPU, [..., vocabulary]."""
    with torch.inference_mode():
        logits: Tensor = model.get_output_embeddings()(hidden)
        # In float32 the small differences of two checkpoints' log-probabilities would cancel.
        return logits.to("cpu", torch.float64).log_softmax(-1)


def _batches(sequences: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, which need little padding."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    for start in range(0, len(order), size):
        yield order[start : start + size]

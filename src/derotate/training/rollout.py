# SPDX-License-Identifier: MIT
"""What GRPO and PPO share: which problems an update draws, its seeds, and the scores of responses.

Problems and samples of an update depend on the weights, the seed and the update alone, not on how
many random numbers the updates before it used. So two runs that differ in one setting are compared
on the same problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

CHUNK = 64
"""Responses in one pass through the model. Bounds memory (784 instead of 1429 MB for 256 responses
of the tiny model, at 4 % more time), not the result."""


def derived_seed(purpose: str, seed: int, part: int) -> int:
    """A seed that depends on nothing but its arguments; below 2^63, as torch wants it."""
    digest = sha256(f"{purpose} {seed} {part}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def problems_of_update(count: int, per_update: int, seed: int, update: int) -> list[int]:
    """Indices of the problems of an update.

    Updates read on in a stream of permutations of the fold: no problem comes again before all
    others came, and no state is carried from update to update.

    Args:
        count: problems of the fold.
        per_update: problems to draw.
        seed: of the run.
        update: counted from 1.
    """
    indices: list[int] = []
    position = (update - 1) * per_update
    while len(indices) < per_update:
        lap, offset = divmod(position + len(indices), count)
        order = sorted(range(count), key=lambda i: derived_seed(f"problems {lap}", seed, i))
        indices += order[offset : offset + per_update - len(indices)]
    return indices


@dataclass(frozen=True)
class Batch:
    """Responses to contexts, padded left of the context and right of the response.

    Attributes:
        ids: token ids, (responses, context + response tokens).
        mask: 1 where `ids` is no padding, same shape.
        response_mask: 1 at tokens of the response and its end token, (responses, response tokens).
    """

    ids: Tensor
    mask: Tensor
    response_mask: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, rows: Tensor) -> Batch:
        """The batch of some of the responses."""
        return Batch(self.ids[rows], self.mask[rows], self.response_mask[rows])

    def chunks(self) -> list[Tensor]:
        """Row indices in pieces that one pass through the model takes."""
        return list(torch.arange(len(self), device=self.ids.device).split(CHUNK))


@dataclass(frozen=True)
class Scores:
    """What a model says of the responses of a batch.

    Attributes:
        log_probs: of each response token, (responses, response tokens); 0 at padding.
        entropies: of the distribution each was drawn from, nats, same shape; 0 at padding.
        context_states: last hidden state of the last context token, (responses, hidden).
    """

    log_probs: Tensor
    entropies: Tensor
    context_states: Tensor


def score(model: Any, batch: Batch, temperature: float) -> Scores:
    """Log-probabilities and entropies of the tempered policy, which is the one that sampled.

    One pass, with gradient if it is enabled. The head is applied to the response only.
    """
    response = batch.response_mask.shape[1]
    states = model.base_model(
        input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
    ).last_hidden_state[:, -response - 1 :]
    # in float32, since sixteen bits are too few for the ratio of two policies
    logits = model.get_output_embeddings()(states[:, :-1]).float() / temperature
    log_distribution = logits.log_softmax(-1)
    tokens = batch.ids[:, -response:].unsqueeze(-1)
    log_probs = log_distribution.gather(-1, tokens).squeeze(-1)
    entropies = -(log_distribution.exp() * log_distribution).sum(-1)
    mask = batch.response_mask
    # a copy, since a view would keep the states of all tokens
    context_states = states[:, 0].to(torch.float32, copy=True)
    return Scores(log_probs * mask, entropies * mask, context_states)


@torch.no_grad()
def score_fixed(model: Any, batch: Batch, temperature: float) -> Scores:
    """`score` without gradient, in passes of CHUNK responses."""
    parts = [score(model, batch.rows(rows), temperature) for rows in batch.chunks()]
    return Scores(
        torch.cat([part.log_probs for part in parts]),
        torch.cat([part.entropies for part in parts]),
        torch.cat([part.context_states for part in parts]),
    )


def require_updates(checkpoints: Iterable[int], updates: int) -> None:
    """Refuse a checkpoint at an update that the run does not have.

    Raises:
        ValueError: names the updates asked for and the range there is.
    """
    asked = sorted(checkpoints)
    if not all(1 <= update <= updates for update in asked):
        raise ValueError(
            f"checkpoints after updates {asked}: expected updates from 1 to {updates}; "
            "raise the number of updates or leave the others out"
        )


@dataclass(frozen=True)
class Measured:
    """Sums over the responses of a batch, so that the parts of an update can be added up.

    Attributes:
        entropy: of the next-token distributions, nats.
        kl: of the policy to the start checkpoint, nats; 0 where it was not measured.
        kl_tokens: over which it was summed.
        tokens: of the responses.
        responses: how many.
    """

    entropy: float
    kl: float
    kl_tokens: int
    tokens: int
    responses: int


def measure(log_probs: Tensor, entropies: Tensor, start: Tensor | None, batch: Batch) -> Measured:
    """Entropy and drift of sampled responses.

    Args:
        log_probs: of the tokens under the policy, (responses, response tokens).
        entropies: of the policy, nats, same shape.
        start: log-probabilities under the start checkpoint, same shape; None measures no KL.
        batch: the responses.
    """
    mask = batch.response_mask
    tokens = int(mask.sum())
    return Measured(
        entropy=(entropies * mask).sum().item(),
        kl=0.0 if start is None else (k3(log_probs, start) * mask).sum().item(),
        kl_tokens=0 if start is None else tokens,
        tokens=tokens,
        responses=len(batch),
    )


def means(parts: Sequence[Measured]) -> dict[str, float]:
    """The columns of `rllog.Update` that the parts of an update give together."""
    tokens = sum(part.tokens for part in parts)
    return {
        "entropy": sum(part.entropy for part in parts) / tokens,
        "kl_to_start": sum(part.kl for part in parts) / sum(part.kl_tokens for part in parts),
        "response_length": tokens / sum(part.responses for part in parts),
    }


def k3(policy: Tensor, start: Tensor) -> Tensor:
    """Estimate of KL(policy || start) at tokens that the policy sampled, nats, elementwise.

    k3 = exp(d) - 1 - d with d = log start - log policy: unbiased, and never negative (Schulman
    2020, "Approximating KL divergence"; DeepSeekMath, arXiv 2402.03300, eq. 4).
    """
    difference = start - policy
    return difference.exp() - 1 - difference


def collate(contexts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad: int,
            device: Any) -> Batch:  # fmt: skip
    """Pad token ids of contexts (left) and responses (right) into one batch."""
    left = max(map(len, contexts))
    right = max(map(len, responses))
    ids = torch.full((len(contexts), left + right), pad)
    mask = torch.zeros((len(contexts), left + right), dtype=torch.long)
    for row, (context, response) in enumerate(zip(contexts, responses, strict=True)):
        span = slice(left - len(context), left + len(response))
        ids[row, span] = torch.tensor([*context, *response])
        mask[row, span] = 1
    return Batch(ids.to(device), mask.to(device), mask[:, left:].to(device))

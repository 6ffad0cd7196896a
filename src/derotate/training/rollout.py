# SPDX-License-Identifier: MIT
"""What GRPO and PPO share: problems and seeds of an update, log-probabilities, KL and entropy.

Problems and samples of an update depend only on the weights, the seed and the update, not on how
many random numbers earlier updates used. So two runs that differ in one setting are compared on the
same problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

MICRO_BATCH_SIZE = 64
"""Responses of one forward pass, unless the config says otherwise. It bounds memory: for 256
responses of the tiny model 784 MB in place of 1429 MB, at 4 % more time."""


def derived_seed(purpose: str, seed: int, part: int) -> int:
    """A seed that depends only on the arguments; below 2^63, as torch requires."""
    digest = sha256(f"{purpose} {seed} {part}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def problems_for_update(count: int, per_update: int, seed: int, update: int) -> list[int]:
    """Indices of the problems of an update.

    Updates read a stream of permutations of the problems. So no problem is repeated before all
    others were drawn, and no state is carried from update to update.

    Args:
        count: number of problems.
        per_update: problems per update.
        seed: of the run.
        update: counted from 1.
    """
    indices: list[int] = []
    position = (update - 1) * per_update
    while len(indices) < per_update:
        epoch, offset = divmod(position + len(indices), count)
        # a permutation by hash: that of random.shuffle could change with Python's version
        order = sorted(range(count), key=lambda i: derived_seed(f"problems {epoch}", seed, i))
        indices += order[offset : offset + per_update - len(indices)]
    return indices


@dataclass(frozen=True)
class Batch:
    """Contexts, padded on the left, and responses, padded on the right.

    Attributes:
        ids: token ids, (responses, context + response tokens).
        mask: attention mask, 0 at padding, same shape.
        response_mask: 1 at tokens of the response, its end token included, (responses, response
            tokens).
    """

    ids: Tensor
    mask: Tensor
    response_mask: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: Tensor) -> Batch:
        """The batch of the responses with these row indices."""
        return Batch(self.ids[rows], self.mask[rows], self.response_mask[rows])

    def micro_batches(self) -> list[Batch]:
        """The batch in parts of MICRO_BATCH_SIZE responses."""
        rows = torch.arange(len(self), device=self.ids.device)
        return [self.select(part) for part in rows.split(MICRO_BATCH_SIZE)]


@dataclass(frozen=True)
class Scores:
    """What a model assigns to the responses of a batch.

    Attributes:
        log_probs: of each response token, (responses, response tokens); 0 at padding.
        entropies: of the distribution that each token was sampled from, nats, same shape; 0 at
            padding.
        context_states: last hidden state of the last context token, (responses, hidden).
    """

    log_probs: Tensor
    entropies: Tensor
    context_states: Tensor


def score(model: Any, batch: Batch, temperature: float) -> Scores:
    """Log-probabilities and entropies under the tempered policy, the one that sampled.

    One forward pass, with gradient if it is enabled. The LM head is applied to the response only.
    """
    response = batch.response_mask.shape[1]
    states = model.base_model(
        input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
    ).last_hidden_state[:, -response - 1 :]
    # in float32: bf16 is too coarse for the probability ratio of two policies
    # the state before each response token predicts it, so the last state is dropped
    logits = model.get_output_embeddings()(states[:, :-1]).float() / temperature
    log_distribution = logits.log_softmax(-1)
    tokens = batch.ids[:, -response:].unsqueeze(-1)
    log_probs = log_distribution.gather(-1, tokens).squeeze(-1)
    entropies = -(log_distribution.exp() * log_distribution).sum(-1)
    mask = batch.response_mask
    # a copy, since a view would keep the states of all tokens in memory
    context_states = states[:, 0].to(torch.float32, copy=True)
    return Scores(log_probs * mask, entropies * mask, context_states)


@torch.no_grad()
def score_without_gradient(model: Any, batch: Batch, temperature: float) -> Scores:
    """`score` without gradient, in micro-batches."""
    parts = [score(model, part, temperature) for part in batch.micro_batches()]
    return Scores(
        torch.cat([part.log_probs for part in parts]),
        torch.cat([part.entropies for part in parts]),
        torch.cat([part.context_states for part in parts]),
    )


@dataclass(frozen=True)
class PolicySums:
    """Entropy, KL and lengths summed over the responses of a batch; sums of parts add up.

    Attributes:
        entropy: of the next-token distributions, nats.
        kl: of the policy to the start checkpoint, nats; 0 if not measured.
        kl_tokens: number of tokens that `kl` is a sum over.
        tokens: of the responses.
        responses: number of responses.
    """

    entropy: float
    kl: float
    kl_tokens: int
    tokens: int
    responses: int


def policy_sums(
    log_probs: Tensor, entropies: Tensor, start_log_probs: Tensor | None, batch: Batch
) -> PolicySums:
    """Entropy and KL to the start, summed over the tokens of sampled responses.

    Args:
        log_probs: of the tokens under the policy, (responses, response tokens).
        entropies: of the policy, nats, same shape.
        start_log_probs: under the start checkpoint, same shape; None if the KL is not measured.
        batch: the responses.
    """
    mask = batch.response_mask
    tokens = int(mask.sum())
    kl, kl_tokens = 0.0, 0
    if start_log_probs is not None:
        kl, kl_tokens = (kl_k3(log_probs, start_log_probs) * mask).sum().item(), tokens
    return PolicySums(
        entropy=(entropies * mask).sum().item(),
        kl=kl,
        kl_tokens=kl_tokens,
        tokens=tokens,
        responses=len(batch),
    )


def log_columns(parts: Sequence[PolicySums]) -> dict[str, float]:
    """Means over all parts of an update, as columns of `rl_log.Update`."""
    tokens = sum(part.tokens for part in parts)
    return {
        "entropy": sum(part.entropy for part in parts) / tokens,
        "kl_to_start": sum(part.kl for part in parts) / sum(part.kl_tokens for part in parts),
        "response_length": tokens / sum(part.responses for part in parts),
    }


def kl_k3(log_probs: Tensor, start_log_probs: Tensor) -> Tensor:
    """Estimate of KL(policy || start) at tokens that the policy sampled, nats, elementwise.

    k3 = exp(d) - 1 - d with d = log start - log policy: unbiased and never negative (Schulman
    2020, "Approximating KL divergence"; DeepSeekMath, arXiv 2402.03300, eq. 4).
    """
    difference = start_log_probs - log_probs
    return difference.exp() - 1 - difference


def collate(contexts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad: int,
            device: Any) -> Batch:  # fmt: skip
    """Pad token ids of contexts (left) and responses (right) into one batch."""
    left = max(map(len, contexts))
    right = max(map(len, responses))
    # context and response meet at one column, so slices by position fit all rows
    ids = torch.full((len(contexts), left + right), pad)
    mask = torch.zeros((len(contexts), left + right), dtype=torch.long)
    for row, (context, response) in enumerate(zip(contexts, responses, strict=True)):
        span = slice(left - len(context), left + len(response))
        ids[row, span] = torch.tensor([*context, *response])
        mask[row, span] = 1
    return Batch(ids.to(device), mask.to(device), mask[:, left:].to(device))

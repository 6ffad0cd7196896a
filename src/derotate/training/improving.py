# SPDX-License-Identifier: MIT
"""From the attempts of an update to better weights: PPO's optimizer steps on a rollout.

A rollout is a value, the same in every process. Each minibatch is dealt to the processes anew, and
its loss is the mean over its responses of all of them; so the weights that a rollout leads to do
not depend on who sampled what, nor on how many processes there are, but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from derotate.training import collectives as processes
from derotate.training import rollout
from derotate.training.multi_turn import Attempt
from derotate.training.ppo_losses import clipped_policy_loss, clipped_value_loss, gae, normalised
from derotate.training.ppo_policy import recomputing
from derotate.training.ppo_state import Learner

if TYPE_CHECKING:
    from derotate.config.rl import Ppo


@dataclass(frozen=True)
class Rollout:
    """The attempts of an update, as sampled; all tensors but the batch are (responses,)."""

    batch: rollout.Batch
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


@torch.no_grad()
def valued(
    played: Sequence[Attempt],
    batch: rollout.Batch,
    policy: rollout.Scores,
    head: nn.Module,
    settings: Ppo,
) -> Rollout:
    """Values, advantages and returns of the attempts of all processes.

    Args:
        played: sorted by episode.
        batch: of them.
        policy: what the policy that sampled them says of them.
        head: of the values.
        settings: of the run.
    """
    values = head(policy.context_states).squeeze(-1)
    rewards = torch.tensor([attempt.reward for attempt in played], device=values.device)
    _, lengths = torch.unique_consecutive(
        torch.tensor([attempt.episode for attempt in played]), return_counts=True
    )
    advantages = torch.cat(
        [
            gae(r, v, settings.discount, settings.trace)
            for r, v in zip(
                rewards.split(lengths.tolist()), values.split(lengths.tolist()), strict=True
            )
        ]
    )
    return Rollout(
        batch, policy.log_probs.sum(1), values, normalised(advantages), advantages + values
    )


def improve(
    learner: Learner,
    taken: Rollout,
    settings: Ppo,
    *,
    generator: torch.Generator,
    at_once: int,
) -> tuple[float, float]:
    """The optimizer steps of an update; means over them of the policy and the value loss.

    Args:
        learner: whose weights move.
        taken: the same in all processes.
        settings: of the run.
        generator: of the minibatches, seeded alike in all processes.
        at_once: responses in one pass through the model and back.
    """
    losses = torch.zeros(2)
    steps = 0
    for _ in range(settings.epochs):
        order = torch.randperm(len(taken.batch), generator=generator)
        for minibatch in order.chunk(settings.minibatches):
            learner.optimizer.zero_grad()
            for terms in _gradients(learner, taken, minibatch, settings, at_once):
                losses += terms
            nn.utils.clip_grad_norm_(learner.moving, settings.max_grad_norm)
            learner.optimizer.step()
            steps += 1
    policy_mean, value_mean = (processes.summed(losses) / steps).tolist()
    return policy_mean, value_mean


def _gradients(
    learner: Learner, taken: Rollout, minibatch: Tensor, settings: Ppo, at_once: int
) -> Iterator[Tensor]:
    """Add up a minibatch's gradients; pass by pass what it adds to policy and value loss, (2,)."""
    for rows in processes.share_in_pieces(minibatch, at_once):
        # without a response of its own, too, this process takes the pass, for a loss of none
        with recomputing(learner.policy):
            scores = learner.policy(
                taken.batch.rows(rows if len(rows) else minibatch[:1]), settings.temperature
            )
        own = slice(len(rows))
        policy_loss = clipped_policy_loss(
            scores.log_probs.sum(1)[own],
            taken.log_probs[rows],
            taken.advantages[rows],
            settings.clip,
        ).sum() / len(minibatch)
        value_loss = clipped_value_loss(
            learner.head(scores.context_states).squeeze(-1)[own],
            taken.values[rows],
            taken.returns[rows],
            settings.clip,
        ).sum() / len(minibatch)
        loss = policy_loss + settings.value_coefficient * value_loss
        # FSDP takes the mean of the processes' gradients where their sum is asked
        (loss * processes.count()).backward()
        yield torch.stack([policy_loss, value_loss]).detach().cpu()

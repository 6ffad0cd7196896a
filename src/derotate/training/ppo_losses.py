# SPDX-License-Identifier: MIT
"""The formulas of turn-level PPO: advantages of an episode, policy loss and value loss."""

from __future__ import annotations

import torch
from torch import Tensor


def gae(rewards: Tensor, values: Tensor, discount: float, trace: float) -> Tensor:
    """Generalised advantage estimation (GAE) over one episode, which ends after its last attempt.

    A_t = sum_l (discount trace)^l d_{t+l} with d_t = r_t + discount V_{t+1} - V_t, and V = 0 after
    the end (Schulman et al., arXiv 1506.02438, eq. 16).

    Args:
        rewards: (attempts,).
        values: estimates at the context of each attempt, (attempts,).
        discount: gamma.
        trace: lambda.

    Returns:
        (attempts,)
    """
    advantages = torch.zeros_like(rewards)
    next_advantage = next_value = rewards.new_zeros(())
    for t in reversed(range(len(rewards))):
        td_error = rewards[t] + discount * next_value - values[t]
        advantages[t] = td_error + discount * trace * next_advantage
        next_advantage, next_value = advantages[t], values[t]
    return advantages


def normalise(advantages: Tensor) -> Tensor:
    """Scale to mean 0 and standard deviation 1 over the rollout, (responses,).

    Equal advantages become 0. If every response earns the same, the advantages are only the errors
    of the value head, and scaling makes them as large as a signal. So a solved problem can be
    unlearnt again (seen on the bandit of the tests, some updates after it was solved). Watch
    `correct_share`.
    """
    return (advantages - advantages.mean()) / (advantages.std(correction=0) + 1e-8)


def clipped_policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float
) -> Tensor:
    """Clipped surrogate of each action (Schulman et al., arXiv 1707.06347, eq. 7), as a loss.

    Args:
        log_probs: of the actions under the current policy, (responses,).
        old_log_probs: under the policy that sampled them, (responses,).
        advantages: (responses,).
        clip: the ratio is clamped to 1 - clip and 1 + clip.

    Returns:
        (responses,)
    """
    ratio = (log_probs - old_log_probs).exp()
    clamped = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantages, clamped * advantages)


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the squared error of the value, or of the clamped value if that is larger.

    The value is clamped to within `clip` of the old value. The papers' code has this loss from
    OpenAI's baselines (ppo2).

    Args:
        values: of the current value head, (responses,).
        old_values: at the time of sampling, (responses,).
        returns: advantage + old value, (responses,).
        clip: in units of the reward.

    Returns:
        (responses,)
    """
    clamped = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (clamped - returns) ** 2)

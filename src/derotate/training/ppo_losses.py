# SPDX-License-Identifier: MIT
"""The formulas of PPO: advantages of the attempts of an episode, and the losses of an action."""

from __future__ import annotations

import torch
from torch import Tensor


def gae(rewards: Tensor, values: Tensor, discount: float, trace: float) -> Tensor:
    """Generalised advantage estimates of one episode, which ends after its last attempt.

    A_t = sum_l (discount trace)^l d_{t+l} with d_t = r_t + discount V_{t+1} - V_t, and V = 0 after
    the end (Schulman et al., arXiv 1506.02438, eq. 16).

    Args:
        rewards: (attempts,).
        values: of the context before each attempt, (attempts,).
        discount: gamma.
        trace: lambda.

    Returns:
        (attempts,)
    """
    advantages = torch.zeros_like(rewards)
    following = next_value = rewards.new_zeros(())
    for t in reversed(range(len(rewards))):
        error = rewards[t] + discount * next_value - values[t]
        advantages[t] = error + discount * trace * following
        following, next_value = advantages[t], values[t]
    return advantages


def normalised(advantages: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the rollout, (responses,); all zero if they are all equal.

    Once every response earns the same, what is left of the advantages is the error of the values,
    and scaling makes it as large as a signal: a solved problem can be unlearnt again (seen on the
    two-armed bandit of the tests, some updates after it was solved). So watch `correct_share`.
    """
    return (advantages - advantages.mean()) / (advantages.std(correction=0) + 1e-8)


def clipped_policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float
) -> Tensor:
    """Clipped surrogate of each action (Schulman et al., arXiv 1707.06347, eq. 7), as a loss.

    Args:
        log_probs: of the actions under the policy being trained, (responses,).
        old_log_probs: under the policy that sampled them, (responses,).
        advantages: (responses,).
        clip: the ratio is held within 1 - clip and 1 + clip.

    Returns:
        (responses,)
    """
    ratio = (log_probs - old_log_probs).exp()
    held = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantages, held * advantages)


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the larger squared error of a value and of it held within `clip` of its old one.

    As in the papers' code, which has it from OpenAI's baselines (ppo2).

    Args:
        values: of the value head being trained, (responses,).
        old_values: at the time of sampling, (responses,).
        returns: advantage + old value, (responses,).
        clip: in units of the reward.

    Returns:
        (responses,)
    """
    held = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (held - returns) ** 2)

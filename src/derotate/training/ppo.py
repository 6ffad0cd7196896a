# SPDX-License-Identifier: MIT
"""Turn-level PPO as the papers ran it (LeslieTrue/SFTvsRL); ours, since trl 1.16 ships no PPO.

One action is one whole response: its log-probability is the sum over its tokens, and an episode is
a problem with up to `attempts` responses, each after the verifier's message on the one before. The
value head reads the last hidden state of the last context token and shares the trunk with the
policy. GAE runs over the attempts of an episode, advantages are normalised over the rollout.

What the released code does and this does not:

- `thought_prob_coef` (reasoning tokens count half, found by a marker that only fits Llama's ids):
  a compact response has no reasoning part, and a weighted sum is no log-probability.
- A first token left out of the sum, bf16 sums, the last micro-batch dropped, a sample whose ratio
  exceeds 10 exempt from the clip: faults, not choices.
- GAE that runs on from an episode cut at its last attempt into the next one: here an episode ends
  when its attempts are used up, since that limit is part of the task.
- Cosine decay of the learning rate: constant, so that a run can be made longer.
- The entropy bonus: their loss names it and never adds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from derotate.checkpoints import load, save
from derotate.conversation import Prompt, pad_id
from derotate.training import rllog, rollout
from derotate.training.episodes import Attempt, Judge, play
from derotate.training.whole import Whole

if TYPE_CHECKING:
    from derotate.settings import Ppo

ADAM_EPSILON = 1e-7
"""Of the papers' optimizer."""


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


def value_head(hidden: int) -> nn.Sequential:
    """The papers' head on a state of the trunk: hidden -> hidden/4 -> hidden/8 -> 1."""
    return nn.Sequential(
        nn.Linear(hidden, hidden // 4),
        nn.ReLU(),
        nn.Linear(hidden // 4, hidden // 8),
        nn.ReLU(),
        nn.Linear(hidden // 8, 1),
    )


@dataclass(frozen=True)
class Rollout:
    """The attempts of an update, as sampled; all tensors but the batch are (responses,)."""

    batch: rollout.Batch
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


def train(
    *,
    start: Path,
    checkpoints: Mapping[int, Path],
    log: Path,
    prompts: Sequence[Prompt],
    judge: Judge,
    settings: Ppo,
    max_new_tokens: int,
    seed: int,
    correct_reward: float = rllog.FULL_REWARD,
) -> None:
    """Train the start checkpoint on the rewards of its own attempts.

    Equal arguments give equal bytes, for one number of torch threads, which the caller sets.

    Args:
        start: checkpoint directory.
        checkpoints: update -> directory; the largest is the last update.
        log: CSV of one row an update; `advantages.csv` is written beside it. Responses count each
            attempt; `zero_variance_share` is empty, since attempts of PPO form no groups.
        prompts: one a problem.
        judge: of a response (text, special tokens left out) to the prompt of that index; its
            feedback is appended to the context of the next attempt.
        settings: of the run.
        max_new_tokens: length limit of a response.
        seed: of problems, samples, minibatches and the value head.
        correct_reward: a response that earns this or more counts as correct in the log.

    Raises:
        ValueError: a checkpoint is asked for at an update that the run does not have.
    """
    rollout.require_updates(checkpoints, settings.updates)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start_model, tokenizer = load(start, device=device)
    model = load(start, dtype=torch.float32, device=device)[0]
    whole = Whole(type(model), dtype=start_model.dtype)
    torch.manual_seed(rollout.derived_seed("value head", seed, 0))
    head = value_head(model.config.get_text_config().hidden_size).to(device)
    optimizer = torch.optim.AdamW(
        [*model.parameters(), *head.parameters()],
        lr=settings.learning_rate,
        eps=ADAM_EPSILON,
        weight_decay=0.0,
    )
    updates = []
    for update in range(1, settings.updates + 1):
        drawn = rollout.problems_of_update(len(prompts), settings.prompts, seed, update)
        torch.manual_seed(rollout.derived_seed("samples", seed, update))
        played = play(
            model,
            tokenizer,
            prompts,
            drawn,
            judge,
            attempts=settings.attempts,
            temperature=settings.temperature,
            max_new_tokens=max_new_tokens,
        )
        batch = rollout.collate(
            [attempt.context for attempt in played],
            [attempt.response for attempt in played],
            pad_id(tokenizer),
            device,
        )
        policy = rollout.score_fixed(model, batch, settings.temperature)
        reference = rollout.score_fixed(start_model, batch, settings.temperature)
        measured = rollout.measure(policy.log_probs, policy.entropies, reference.log_probs, batch)
        taken = _rollout(played, batch, policy, head, settings)
        generator = torch.Generator().manual_seed(rollout.derived_seed("minibatches", seed, update))
        loss, value_loss = _improve(model, head, optimizer, taken, settings, generator)
        rewards = [attempt.reward for attempt in played]
        updates.append(
            rllog.Update(
                update=update,
                reward_mean=sum(rewards) / len(rewards),
                correct_share=rllog.correct_share(rewards, correct_reward),
                zero_variance_share=None,
                loss=loss,
                value_loss=value_loss,
                advantages=tuple(taken.advantages.tolist()),
                **rollout.means([measured]),
            )
        )
        if update in checkpoints:
            save(whole.of(model), tokenizer, checkpoints[update])
    rllog.write(updates, log)


@torch.no_grad()
def _rollout(
    played: Sequence[Attempt],
    batch: rollout.Batch,
    policy: rollout.Scores,
    head: nn.Module,
    settings: Ppo,
) -> Rollout:
    """Values, advantages and returns of the attempts, which are sorted by episode."""
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


def _improve(
    model: Any,
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    taken: Rollout,
    settings: Ppo,
    generator: torch.Generator,
) -> tuple[float, float]:
    """The optimizer steps of an update; means over them of the policy and the value loss."""
    parameters = [*model.parameters(), *head.parameters()]
    losses = torch.zeros(2)
    steps = 0
    for _ in range(settings.epochs):
        order = torch.randperm(len(taken.batch), generator=generator)
        for minibatch in order.chunk(settings.minibatches):
            optimizer.zero_grad()
            for rows in minibatch.split(rollout.CHUNK):
                scores = rollout.score(model, taken.batch.rows(rows), settings.temperature)
                values = head(scores.context_states).squeeze(-1)
                policy_loss = clipped_policy_loss(
                    scores.log_probs.sum(1),
                    taken.log_probs[rows],
                    taken.advantages[rows],
                    settings.clip,
                ).sum() / len(minibatch)
                value_loss = clipped_value_loss(
                    values, taken.values[rows], taken.returns[rows], settings.clip
                ).sum() / len(minibatch)
                (policy_loss + settings.value_coefficient * value_loss).backward()
                losses += torch.stack([policy_loss, value_loss]).detach().cpu()
            nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimizer.step()
            steps += 1
    policy_mean, value_mean = (losses / steps).tolist()
    return policy_mean, value_mean

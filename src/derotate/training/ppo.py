# SPDX-License-Identifier: MIT
"""Turn-level PPO as in the papers (LeslieTrue/SFTvsRL); implemented here, since trl 1.16 has none.

An action is one whole response: its log-probability is the sum over its tokens. An episode is a
problem with up to `attempts` responses, each after the verifier's feedback on the one before. The
value head reads the last hidden state of the last context token and shares the trunk with the
policy. GAE runs over the attempts of an episode. Advantages are normalised over the rollout.

The released code also does the following, and this implementation does not:

- `thought_prob_coef` weights reasoning tokens by half and finds them by a marker of Llama's
  vocabulary. A compact response has no reasoning part, and a weighted sum is no log-probability.
- The first token is left out of the sum, sums are bf16, the last micro-batch is dropped, and a
  sample whose ratio exceeds 10 escapes the clip. These are bugs.
- GAE runs on from an episode that was cut at its last attempt into the next episode. Here the limit
  of attempts is part of the task, so the episode ends there.
- The learning rate decays by a cosine. Here it is constant, so that a run can be extended.
- The entropy bonus is named in the loss and never added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from derotate.models.chat import pad_id
from derotate.models.checkpoint import checkpoint_dtype, save
from derotate.models.mllama import freeze_image_parameters
from derotate.training import collectives, rl_log
from derotate.training.collectives import is_main_process
from derotate.training.full_weights import FullWeights, load_on_main_process
from derotate.training.multi_turn import Attempt, Sampler, play_episodes, sample_responses
from derotate.training.ppo_losses import clipped_policy_loss, clipped_value_loss, gae, normalise
from derotate.training.ppo_policy import ActorCritic, Policy
from derotate.training.rl_job import RlJob
from derotate.training.rollout import (
    MICRO_BATCH_SIZE,
    Batch,
    Scores,
    collate,
    derived_seed,
    log_columns,
    policy_sums,
    problems_for_update,
)

if TYPE_CHECKING:
    from derotate.config.rl import Ppo


def train(job: RlJob[Ppo]) -> None:
    """Train the start checkpoint on the rewards of its own attempts.

    Each process plays its part of an update's episodes, with its own samples. Everything after that
    is computed on the attempts of all processes. In the log, each attempt counts as a response.

    Args:
        job: the run; all of its processes call this with the same job.

    Raises:
        ValueError: an update has fewer problems than there are processes.
        RolloutError: rollouts by vLLM of a model that vLLM does not have.
    """
    settings, compute = job.settings, job.compute
    _require_problem_per_process(settings.prompts, compute.processes)
    device = collectives.init_distributed(compute.processes)
    micro_batch_size = compute.micro_batch or MICRO_BATCH_SIZE

    start_model, tokenizer = load_on_main_process(job.start)
    full_weights = FullWeights(
        type(start_model), sharded=compute.sharded, dtype=checkpoint_dtype(job.start)
    )
    start_policy = Policy(start_model.requires_grad_(False), compute, device)
    # loaded after the start policy is sharded, so that only one full model is in memory at a time
    model = load_on_main_process(job.start, dtype=torch.float32)[0]
    freeze_image_parameters(model)
    actor_critic = ActorCritic.create(model, settings, job.seed, device)
    policy = actor_critic.policy
    sampling = _sampling(policy, tokenizer, job)

    log = actor_critic.load_latest_state(job.resume) if job.resume else []
    for update in range(len(log) + 1, settings.updates + 1):
        attempts = _play_update(job, tokenizer, sampling, update)
        batch = collate(
            [attempt.context for attempt in attempts],
            [attempt.response for attempt in attempts],
            pad_id(tokenizer),
            device,
        )
        # scored again by the training model: the sampler's own probabilities, those of vLLM above
        # all, differ by rounding, and PPO's ratio must be 1 before the first step
        scores = policy.score_all(batch, settings.temperature, micro_batch_size)
        start = start_policy.score_all(batch, settings.temperature, micro_batch_size)
        sums = policy_sums(scores.log_probs, scores.entropies, start.log_probs, batch)
        rollout = make_rollout(attempts, batch, scores, actor_critic.value_head, settings)
        # a function of seed and update, so that a resumed run draws the same minibatches
        generator = torch.Generator().manual_seed(derived_seed("minibatches", job.seed, update))
        policy_loss, value_loss = optimise(
            actor_critic, rollout, settings, generator=generator, micro_batch_size=micro_batch_size
        )
        rewards = [attempt.reward for attempt in attempts]
        log.append(
            rl_log.Update(
                update=update,
                reward_mean=sum(rewards) / len(rewards),
                correct_share=rl_log.correct_share(rewards, job.environment.correct_reward),
                # attempts form no groups
                zero_variance_share=None,
                loss=policy_loss,
                value_loss=value_loss,
                advantages=tuple(rollout.advantages.tolist()),
                **log_columns([sums]),
            )
        )
        if update in job.checkpoints:
            # a collective operation: every process gathers, the main process writes
            full = full_weights.gather(policy.model)
            if is_main_process():
                save(full, tokenizer, job.checkpoints[update])
        if job.resume and update < settings.updates and update % compute.save_state_every == 0:
            actor_critic.save_state(job.resume, log)
    if is_main_process():
        rl_log.write(log, job.log)


@dataclass(frozen=True)
class Rollout:
    """The attempts of an update, the same in all processes; tensors are (responses,)."""

    batch: Batch
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


@torch.no_grad()
def make_rollout(
    attempts: Sequence[Attempt],
    batch: Batch,
    scores: Scores,
    value_head: nn.Module,
    settings: Ppo,
) -> Rollout:
    """Values, advantages and returns of the attempts of all processes.

    Args:
        attempts: sorted by episode.
        batch: of the attempts.
        scores: of the batch, by the policy that sampled it.
        value_head: of that policy.
        settings: of the run.
    """
    values = value_head(scores.context_states).squeeze(-1)
    rewards = torch.tensor([attempt.reward for attempt in attempts], device=values.device)
    # an episode is a run of attempts at one problem; GAE must not cross from one to the next
    _, lengths = torch.unique_consecutive(
        torch.tensor([attempt.episode for attempt in attempts]), return_counts=True
    )
    advantages = torch.cat(
        [
            gae(r, v, settings.discount, settings.trace)
            for r, v in zip(
                rewards.split(lengths.tolist()), values.split(lengths.tolist()), strict=True
            )
        ]
    )
    # an action is a whole response: its log-probability is the sum over tokens
    return Rollout(
        batch, scores.log_probs.sum(1), values, normalise(advantages), advantages + values
    )


def optimise(
    actor_critic: ActorCritic,
    rollout: Rollout,
    settings: Ppo,
    *,
    generator: torch.Generator,
    micro_batch_size: int,
) -> tuple[float, float]:
    """Make the optimizer steps of an update.

    Each minibatch is split over the processes, and its loss is the mean over all of its responses.
    So the new weights do not depend on the number of processes, up to rounding.

    Args:
        actor_critic: to train.
        rollout: the same in all processes.
        settings: of the run.
        generator: of the minibatches, with the same seed in all processes.
        micro_batch_size: responses of one forward and backward pass.

    Returns:
        Policy loss and value loss, means over the optimizer steps.
    """
    losses = torch.zeros(2)
    steps = 0
    for _ in range(settings.epochs):
        # the same order in all processes, which hold the same rollout
        order = torch.randperm(len(rollout.batch), generator=generator)
        for minibatch in order.chunk(settings.minibatches):
            actor_critic.optimizer.zero_grad()
            for terms in _backward(actor_critic, rollout, minibatch, settings, micro_batch_size):
                losses += terms
            nn.utils.clip_grad_norm_(actor_critic.trained_parameters, settings.max_grad_norm)
            actor_critic.optimizer.step()
            steps += 1
    policy_loss, value_loss = (collectives.all_reduce_sum(losses) / steps).tolist()
    return policy_loss, value_loss


def _backward(
    actor_critic: ActorCritic,
    rollout: Rollout,
    minibatch: Tensor,
    settings: Ppo,
    micro_batch_size: int,
) -> Iterator[Tensor]:
    """Accumulate a minibatch's gradient; yields policy and value loss per micro-batch, (2,)."""
    for rows in collectives.local_micro_batches(minibatch, micro_batch_size):
        # an empty micro-batch makes the pass on a foreign response, whose loss is not counted
        batch = rollout.batch.select(rows if len(rows) else minibatch[:1])
        with actor_critic.policy.recompute_activations():
            scores = actor_critic.policy(batch, settings.temperature)
        counted = slice(len(rows))
        # sums are divided by the size of the minibatch, so micro-batches of any size add up
        policy_loss = clipped_policy_loss(
            scores.log_probs.sum(1)[counted],
            rollout.log_probs[rows],
            rollout.advantages[rows],
            settings.clip,
        ).sum() / len(minibatch)
        value_loss = clipped_value_loss(
            actor_critic.value_head(scores.context_states).squeeze(-1)[counted],
            rollout.values[rows],
            rollout.returns[rows],
            settings.clip,
        ).sum() / len(minibatch)
        loss = policy_loss + settings.value_coefficient * value_loss
        # FSDP averages gradients over the processes; their sum is needed here
        (loss * collectives.world_size()).backward()
        yield torch.stack([policy_loss, value_loss]).detach().cpu()


Sampling = Callable[[], AbstractContextManager[Sampler]]
"""A context that all processes enter together; within it none waits for another."""


def _sampling(policy: Policy, tokenizer: Any, job: RlJob[Ppo]) -> Sampling:
    temperature, max_new_tokens = job.settings.temperature, job.max_new_tokens
    if job.settings.rollouts == "vllm":
        # imported here, since trl takes seconds to import
        from derotate.training.vllm_rollouts import ColocatedSampler

        return ColocatedSampler(policy.model, tokenizer, temperature, max_new_tokens).synced

    @contextmanager
    def by_transformers() -> Iterator[Sampler]:
        with policy.keep_gathered():
            yield partial(sample_responses, policy, tokenizer, temperature, max_new_tokens)

    return by_transformers


def _play_update(job: RlJob[Ppo], tokenizer: Any, sampling: Sampling, update: int) -> list[Attempt]:
    """Play the episodes of an update; the attempts of all processes, sorted by episode."""
    problems = problems_for_update(
        len(job.environment.prompts), job.settings.prompts, job.seed, update
    )
    local = collectives.local_slice(len(problems))
    process = collectives.rank()
    # process 0 samples as a single process does
    purpose = f"samples {process}" if process else "samples"
    torch.manual_seed(derived_seed(purpose, job.seed, update))
    with sampling() as sample:
        attempts = play_episodes(
            sample,
            tokenizer,
            job.environment,
            problems[local],
            attempts=job.settings.attempts,
        )
    # episodes are numbered per process, from 0
    return collectives.all_gather_objects(
        [replace(attempt, episode=local.start + attempt.episode) for attempt in attempts]
    )


def _require_problem_per_process(problems: int, processes: int) -> None:
    """Refuse an update that leaves a process without an episode: it would gather no weights."""
    if problems < processes:
        raise ValueError(
            f"prompts: got {problems} in {processes} processes, expected at least one problem per "
            "process; raise prompts or lower processes"
        )

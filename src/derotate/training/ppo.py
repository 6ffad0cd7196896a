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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from derotate.models.chat import Prompt, pad_id
from derotate.models.checkpoint import own_dtype, save
from derotate.models.text_only import freeze_unread
from derotate.training import collectives as processes
from derotate.training import rl_log as rllog
from derotate.training import rollout
from derotate.training.fsdp import ONE_PROCESS, Compute
from derotate.training.full_weights import Whole, load_in_first
from derotate.training.improving import improve, valued
from derotate.training.launch import is_first
from derotate.training.multi_turn import Attempt, Judge, Sampler, draw_responses, play
from derotate.training.ppo_policy import Policy, held_whole, scored
from derotate.training.ppo_state import Learner
from derotate.training.resume import Kept

if TYPE_CHECKING:
    from derotate.config.rl import Ppo


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
    compute: Compute = ONE_PROCESS,
    kept: Kept | None = None,
) -> None:
    """Train the start checkpoint on the rewards of its own attempts.

    Equal arguments give equal bytes, for one number of torch threads, which the caller sets. In
    several processes each plays its part of an update's episodes, with samples of its own; what
    follows is computed on the attempts of all.

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
        compute: in how many processes, which call this alike, and how each computes; a micro-batch
            are the responses that one pass through the model takes.
        kept: where states on the way go; the run goes on from the newest.

    Raises:
        ValueError: a checkpoint is asked for at an update that the run does not have, or there are
            fewer problems in an update than processes.
    """
    rollout.require_updates(checkpoints, settings.updates)
    _require_problems(settings.prompts, compute.processes)
    device = processes.join(compute.processes)
    start_model, tokenizer = load_in_first(start)
    whole = Whole(type(start_model), sharded=compute.sharded, dtype=own_dtype(start))
    reference = Policy(start_model.requires_grad_(False), compute, device)
    # after the first is given away, so that one of them at a time is whole
    model = load_in_first(start, dtype=torch.float32)[0]
    freeze_unread(model)
    learner = Learner.of(model, settings, seed, compute, device)
    drawing = _drawing(learner.policy, tokenizer, settings, max_new_tokens)
    at_once = compute.micro_batch or rollout.CHUNK
    updates = learner.resumed(kept) if kept else []
    for update in range(len(updates) + 1, settings.updates + 1):
        drawn = rollout.problems_of_update(len(prompts), settings.prompts, seed, update)
        torch.manual_seed(_seed_of_samples(seed, update))
        with drawing() as draw:
            own = play(
                draw,
                tokenizer,
                prompts,
                drawn[processes.share(len(drawn))],
                judge,
                attempts=settings.attempts,
            )
        played = _everyones(own, len(drawn))
        batch = rollout.collate(
            [attempt.context for attempt in played],
            [attempt.response for attempt in played],
            pad_id(tokenizer),
            device,
        )
        policy = scored(learner.policy, batch, settings.temperature, at_once)
        before = scored(reference, batch, settings.temperature, at_once)
        measured = rollout.measure(policy.log_probs, policy.entropies, before.log_probs, batch)
        taken = valued(played, batch, policy, learner.head, settings)
        generator = torch.Generator().manual_seed(rollout.derived_seed("minibatches", seed, update))
        loss, value_loss = improve(learner, taken, settings, generator=generator, at_once=at_once)
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
            _save(whole, learner.policy.model, tokenizer, checkpoints[update])
        if kept and update < settings.updates and update % compute.save_state_every == 0:
            learner.keep(kept, updates)
    if is_first():
        rllog.write(updates, log)


def _drawing(
    policy: Policy, tokenizer: Any, settings: Ppo, max_new_tokens: int
) -> Callable[[], AbstractContextManager[Sampler]]:
    """What draws the responses of an update, for as long as the block runs that it is called for.

    All processes enter the block; within it none waits for another.
    """
    if settings.rollouts == "vllm":
        # here, since trl takes seconds to import
        from derotate.training.vllm_rollouts import Colocated

        return Colocated(policy.model, tokenizer, settings.temperature, max_new_tokens).drawing

    @contextmanager
    def by_transformers() -> Iterator[Sampler]:
        with held_whole(policy):
            yield partial(draw_responses, policy, tokenizer, settings.temperature, max_new_tokens)

    return by_transformers


def _require_problems(problems: int, count: int) -> None:
    """Refuse an update that leaves a process without an episode: it would gather no weights."""
    if problems < count:
        raise ValueError(
            f"prompts: got {problems} in {count} processes, expected a problem for each process; "
            "raise prompts or lower processes"
        )


def _seed_of_samples(seed: int, update: int) -> int:
    """The processes sample apart; the first as one process does."""
    process = processes.rank()
    return rollout.derived_seed(f"samples {process}" if process else "samples", seed, update)


def _everyones(own: Sequence[Attempt], episodes: int) -> list[Attempt]:
    """The attempts of all processes, their episodes numbered through."""
    first = processes.share(episodes).start
    return processes.everyones(
        [replace(attempt, episode=first + attempt.episode) for attempt in own]
    )


def _save(whole: Whole, model: Any, tokenizer: Any, directory: Path) -> None:
    """Leave a checkpoint; all processes call this, the first writes."""
    gathered = whole.of(model)
    if is_first():
        save(gathered, tokenizer, directory)

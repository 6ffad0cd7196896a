# SPDX-License-Identifier: MIT
"""Multi-turn episodes: respond, read the verifier's feedback, respond again.

All episodes of an update are played in parallel, so that each turn is one batch of generation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from derotate.models.chat import Prompt, continued, left_padded, pad_id, prompt_ids, stop_ids
from derotate.models.kv_cache import growing_cache
from derotate.training.rl_job import Environment

Sample = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a context and of a response to it, the token that ended it included."""
Sampler = Callable[[list[Prompt]], list[Sample]]
"""Samples a response to each context, whose ids are those of `chat.prompt_ids`."""


@dataclass(frozen=True)
class Attempt:
    """One action of turn-level RL: a response to its context, and its reward."""

    episode: int
    context: tuple[int, ...]
    response: tuple[int, ...]
    reward: float


def play_episodes(
    sample: Sampler,
    tokenizer: Any,
    environment: Environment,
    problems: Sequence[int],
    *,
    attempts: int,
) -> list[Attempt]:
    """Play one episode per problem, in parallel; sorted by episode, then by attempt.

    The context of the next attempt is this context, the response and the feedback on it.

    Args:
        sample: the policy.
        tokenizer: of the policy.
        environment: prompts, rewards and feedback.
        problems: index of the problem of each episode.
        attempts: most attempts per episode.
    """
    contexts: dict[int, Prompt] = {
        episode: environment.prompts[problem] for episode, problem in enumerate(problems)
    }
    played: list[Attempt] = []
    for _ in range(attempts):
        if not contexts:
            break
        samples = sample(list(contexts.values()))
        for episode, (context, response) in zip(list(contexts), samples, strict=True):
            problem = problems[episode]
            text = tokenizer.decode(response, skip_special_tokens=True)
            reward = environment.reward(problem, text)
            played.append(Attempt(episode, context, response, reward))
            feedback = environment.feedback(problem, text)
            if feedback is None:
                del contexts[episode]
            else:
                contexts[episode] = continued(contexts[episode], text, feedback)
    return sorted(played, key=lambda attempt: attempt.episode)


@torch.no_grad()
def sample_responses(
    model: Any, tokenizer: Any, temperature: float, max_new_tokens: int, contexts: list[Prompt]
) -> list[Sample]:
    """Sample responses by transformers, from torch's global generator, which the caller seeds.

    Args:
        model: the policy.
        tokenizer: of the policy.
        temperature: of sampling.
        max_new_tokens: length limit of a response.
        contexts: to respond to.
    """
    stops = stop_ids(model, tokenizer)
    ids, mask = left_padded(tokenizer, prompt_ids(tokenizer, contexts))
    generated = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        do_sample=True,
        temperature=temperature,
        # neutral values, since generation_config of an instruct model may set others
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        max_new_tokens=max_new_tokens,
        eos_token_id=stops,
        pad_token_id=pad_id(tokenizer),
        past_key_values=growing_cache(model),
    )[:, ids.shape[1] :].tolist()
    samples = []
    for context, attended, response in zip(ids, mask.bool(), generated, strict=True):
        end = next((i for i, token in enumerate(response, start=1) if token in stops), None)
        samples.append((tuple(context[attended].tolist()), tuple(response[:end])))
    return samples

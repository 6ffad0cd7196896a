# SPDX-License-Identifier: MIT
"""Episodes of several attempts: respond, hear the verifier, respond again.

All episodes of an update are played side by side, so that the model answers in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from derotate.models.chat import Prompt, continued, left_padded, pad_id, prompt_ids, stop_ids
from derotate.models.kv_cache import growing_cache

Judge = Callable[[int, str], tuple[float, bool, str]]
"""(index of the problem, response) -> reward, whether the episode is over, feedback."""
Drawn = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a context and of a response to it, the token that ended it included."""
Sampler = Callable[[list[Prompt]], list[Drawn]]
"""Draws a response to each context, whose ids are those of `conversation.prompt_ids`."""


@dataclass(frozen=True)
class Attempt:
    """One action: a response of an episode to its context, and what it earned."""

    episode: int
    context: tuple[int, ...]
    response: tuple[int, ...]
    reward: float


def play(
    draw: Sampler,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    problems: Sequence[int],
    judge: Judge,
    *,
    attempts: int,
) -> list[Attempt]:
    """Play an episode of each problem, all side by side; sorted by episode, then attempt.

    The context of the next attempt is that of this one, the response and the feedback.

    Args:
        draw: the policy.
        tokenizer: its tokenizer.
        prompts: first context of every problem of the fold.
        problems: index of the problem of each episode.
        judge: of a response.
        attempts: most attempts of an episode.
    """
    contexts: dict[int, Prompt] = {
        episode: prompts[problem] for episode, problem in enumerate(problems)
    }
    played: list[Attempt] = []
    for _ in range(attempts):
        if not contexts:
            break
        drawn = draw(list(contexts.values()))
        for episode, (context, response) in zip(list(contexts), drawn, strict=True):
            text = tokenizer.decode(response, skip_special_tokens=True)
            reward, done, feedback = judge(problems[episode], text)
            played.append(Attempt(episode, context, response, reward))
            if done:
                del contexts[episode]
            else:
                contexts[episode] = continued(contexts[episode], text, feedback)
    return sorted(played, key=lambda attempt: attempt.episode)


@torch.no_grad()
def draw_responses(
    model: Any, tokenizer: Any, temperature: float, max_new_tokens: int, contexts: list[Prompt]
) -> list[Drawn]:
    """Draw responses by transformers, from torch's global generator, which the caller seeds.

    Args:
        model: the policy.
        tokenizer: its tokenizer.
        temperature: of the samples.
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
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        max_new_tokens=max_new_tokens,
        eos_token_id=stops,
        pad_token_id=pad_id(tokenizer),
        past_key_values=growing_cache(model),
    )[:, ids.shape[1] :].tolist()
    pairs = []
    for context, kept, response in zip(ids, mask.bool(), generated, strict=True):
        end = next((i for i, token in enumerate(response, start=1) if token in stops), None)
        pairs.append((tuple(context[kept].tolist()), tuple(response[:end])))
    return pairs

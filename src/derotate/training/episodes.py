# SPDX-License-Identifier: MIT
"""Episodes of several attempts: respond, hear the verifier, respond again.

All episodes of an update are played side by side, so that the model answers in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from derotate.kv_cache import growing_cache

Judge = Callable[[int, str], tuple[float, bool, str]]
"""(index of the problem, response) -> reward, whether the episode is over, feedback."""


@dataclass(frozen=True)
class Attempt:
    """One action: a response of an episode to its context, and what it earned."""

    episode: int
    context: tuple[int, ...]
    response: tuple[int, ...]
    reward: float


def play(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    problems: Sequence[int],
    judge: Judge,
    *,
    attempts: int,
    temperature: float,
    max_new_tokens: int,
) -> list[Attempt]:
    """Play an episode of each problem, all side by side; sorted by episode, then attempt.

    The context of the next attempt is the text of this one, the response and the feedback, with
    single spaces between. Samples come from torch's global generator, which the caller seeds.

    Args:
        model: the policy.
        tokenizer: its tokenizer, padding on the left.
        prompts: first context of every problem of the fold.
        problems: index of the problem of each episode.
        judge: of a response.
        attempts: most attempts of an episode.
        temperature: of the samples.
        max_new_tokens: length limit of a response.
    """
    contexts = {episode: prompts[problem] for episode, problem in enumerate(problems)}
    played: list[Attempt] = []
    for _ in range(attempts):
        if not contexts:
            break
        sampled = _sample(model, tokenizer, list(contexts.values()), temperature, max_new_tokens)
        for episode, (context, response) in zip(list(contexts), sampled, strict=True):
            text = tokenizer.decode(response, skip_special_tokens=True)
            reward, done, feedback = judge(problems[episode], text)
            played.append(Attempt(episode, context, response, reward))
            if done:
                del contexts[episode]
            else:
                contexts[episode] += f" {text} {feedback}"
    return sorted(played, key=lambda attempt: attempt.episode)


@torch.no_grad()
def _sample(
    model: Any, tokenizer: Any, contexts: list[str], temperature: float, max_new_tokens: int
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Token ids of each context and of a response to it, the end token included."""
    inputs = tokenizer(contexts, padding=True, return_tensors="pt").to(model.device)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    generated = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        past_key_values=growing_cache(model),
    )[:, ids.shape[1] :].tolist()
    pairs = []
    for context, kept, response in zip(ids, mask.bool(), generated, strict=True):
        if tokenizer.eos_token_id in response:
            response = response[: response.index(tokenizer.eos_token_id) + 1]
        pairs.append((tuple(context[kept].tolist()), tuple(response)))
    return pairs

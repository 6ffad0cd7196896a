# SPDX-License-Identifier: MIT
"""Batched evaluation: one table row for each problem and attempt.

Greedy answers give pass@1, independent samples pass@k, and the loss of the reference answer stands
beside the greedy one, so that "the loss does not see it" can be tested on the same problems.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from derotate.models.chat import (
    Prompt,
    answer_ids,
    continued,
    left_padded,
    pad_id,
    prompt_ids,
    stop_ids,
)
from derotate.models.kv_cache import growing_cache

COLUMNS = (
    "problem", "split", "fold", "cluster", "decoding", "attempt", "correct", "kind", "loss",
    "response",
)  # fmt: skip
LOSS_BATCH = 32
"""Answers in one pass for their losses. It bounds memory; neither time nor a loss depends on it."""


@dataclass(frozen=True)
class Item:
    """A problem as evaluation sees it: what to ask, the reference answer, how to grade."""

    problem: str
    split: str
    fold: str
    cluster: str
    prompt: Prompt
    reference: str
    grade: Callable[[str], tuple[bool, str]]
    """Whether a response is correct, and its kind of error."""
    feedback: Callable[[str], str]
    """What the verifier says of a wrong response, before the next attempt."""


@dataclass(frozen=True)
class Decoding:
    """How responses are drawn; `temperature` 0 is greedy."""

    max_new_tokens: int
    batch_size: int
    temperature: float = 0.0


class Responder(Protocol):
    """A model that answers; which engine computes the answers is its own affair."""

    def __call__(self, prompts: Sequence[Prompt], decoding: Decoding, seed: int = 0) -> list[str]:
        """One response to each prompt, up to the end of the turn, special tokens left out.

        Args:
            prompts: in any order; the result follows it.
            decoding: limits and temperature.
            seed: of the samples; greedy answers do not depend on it.
        """
        ...


def respond(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], decoding: Decoding, seed: int = 0
) -> list[str]:
    """Responses as a `Responder` gives them, by transformers.

    Args:
        model: causal language model in evaluation mode.
        tokenizer: its tokenizer.
        prompts: in any order; the result follows it.
        decoding: limits and temperature.
        seed: of the samples; greedy answers do not depend on it.
    """
    responses: list[str] = [""] * len(prompts)
    sampling = (
        {"do_sample": True, "temperature": decoding.temperature, "top_k": 0, "top_p": 1.0}
        if decoding.temperature > 0
        else {"do_sample": False}
    )
    stops = stop_ids(model, tokenizer)
    torch.manual_seed(seed)
    for batch, ids in _batches(tokenizer, prompts, decoding.batch_size):
        inputs, mask = left_padded(tokenizer, ids)
        with torch.inference_mode():
            tokens = model.generate(
                input_ids=inputs.to(model.device),
                attention_mask=mask.to(model.device),
                **sampling,
                # instruct models come with a penalty, which would make greedy answers others
                repetition_penalty=1.0,
                max_new_tokens=decoding.max_new_tokens,
                eos_token_id=stops,
                pad_token_id=pad_id(tokenizer),
                past_key_values=growing_cache(model),
            )
        texts = tokenizer.batch_decode(tokens[:, inputs.shape[1] :], skip_special_tokens=True)
        for i, text in zip(batch, texts, strict=True):
            responses[i] = text
    return responses


def reference_losses(
    model: Any, tokenizer: Any, items: Sequence[Item], batch_size: int = LOSS_BATCH
) -> list[float]:
    """Mean negative log-likelihood (nats a token) of each reference answer and its end token."""
    losses = [0.0] * len(items)
    for batch, prompts in _batches(tokenizer, [item.prompt for item in items], batch_size):
        answers = answer_ids(tokenizer, [items[i].reference for i in batch])
        width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
        ids = torch.full((len(batch), width), pad_id(tokenizer))
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        answer_mask = torch.zeros((len(batch), width), dtype=torch.bool)
        for row, (p, a) in enumerate(zip(prompts, answers, strict=True)):
            end = len(p) + len(a)
            ids[row, :end] = torch.tensor(p + a)
            mask[row, :end] = 1
            answer_mask[row, len(p) : end] = True
        with torch.inference_mode():
            logits = model(
                input_ids=ids.to(model.device), attention_mask=mask.to(model.device)
            ).logits.float()
        token_losses = torch.nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2), ids[:, 1:].to(model.device), reduction="none"
        ).cpu()
        kept = answer_mask[:, 1:]
        means = (token_losses * kept).sum(1) / kept.sum(1)
        for i, loss in zip(batch, means.tolist(), strict=True):
            losses[i] = loss
    return losses


def evaluate(
    responder: Responder,
    items: Sequence[Item],
    losses: Sequence[float],
    *,
    greedy: Decoding,
    samples: int = 0,
    sampled: frozenset[tuple[str, str]] = frozenset(),
    temperature: float = 1.0,
    attempts: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Rows of one checkpoint: greedy answers with losses, then more draws of the chosen suites.

    Args:
        responder: the checkpoint.
        items: the problems, graded by their own `grade`.
        losses: of their reference answers (`reference_losses`), nats a token.
        greedy: limits of a response.
        samples: independent samples for each problem of the `sampled` suites.
        sampled: pairs of split and fold that get samples and attempts.
        temperature: of those samples.
        attempts: greedy attempts, each after the verifier's feedback on the one before.
        seed: of those samples.
    """
    answers = responder([item.prompt for item in items], greedy)
    rows = [
        _row(item, "greedy", 0, answer, loss)
        for item, answer, loss in zip(items, answers, losses, strict=True)
    ]
    asked = [
        (item, answer)
        for item, answer in zip(items, answers, strict=True)
        if (item.split, item.fold) in sampled
    ]
    drawn, first = [item for item, _ in asked], [answer for _, answer in asked]
    decoding = Decoding(greedy.max_new_tokens, greedy.batch_size, temperature)
    for attempt in range(samples if drawn else 0):
        answers = responder([item.prompt for item in drawn], decoding, draw_seed(seed, attempt))
        rows += [
            _row(item, "sample", attempt, answer, float("nan"))
            for item, answer in zip(drawn, answers, strict=True)
        ]
    rows += _attempts_with_feedback(responder, drawn, first, greedy, attempts)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _attempts_with_feedback(
    responder: Responder,
    items: Sequence[Item],
    first: Sequence[str],
    decoding: Decoding,
    attempts: int,
) -> list[tuple[Any, ...]]:
    """Rows of attempts until the first correct one; the context grows by response and feedback.

    The first attempt is the greedy answer that there is already.
    """
    rows = []
    contexts: dict[int, Prompt] = {index: item.prompt for index, item in enumerate(items)}
    for attempt in range(attempts):
        answers = first
        if attempt:
            answers = responder(list(contexts.values()), decoding)
        for index, answer in zip(list(contexts), answers, strict=True):
            row = _row(items[index], "feedback", attempt, answer, float("nan"))
            rows.append(row)
            if row[COLUMNS.index("correct")]:
                del contexts[index]
            else:
                contexts[index] = continued(contexts[index], answer, items[index].feedback(answer))
    return rows


def draw_seed(seed: int, part: int) -> int:
    """A seed for one part of a run that depends on nothing but the run's seed and the part."""
    return int.from_bytes(sha256(f"{seed} {part}".encode()).digest()[:4], "big")


def write(rows: pd.DataFrame, parquet: Path, csv: Path) -> None:
    """Both forms of the rows, written aside and moved into place; the CSV is what is compared."""
    for path in (parquet, csv):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}")
        if path is parquet:
            rows.to_parquet(aside, index=False)
        else:
            rows.to_csv(aside, index=False, float_format="%.6g", lineterminator="\n")
        os.replace(aside, path)


def _row(item: Item, decoding: str, attempt: int, response: str, loss: float) -> tuple[Any, ...]:
    correct, kind = item.grade(response)
    return (
        item.problem, item.split, item.fold, item.cluster, decoding, attempt, int(correct), kind,
        loss, response,
    )  # fmt: skip


def _batches(
    tokenizer: Any, prompts: Sequence[Prompt], size: int
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Indices and token ids in batches of similar prompt length, so that little is padded."""
    ids = prompt_ids(tokenizer, prompts)
    order = sorted(range(len(prompts)), key=lambda index: len(ids[index]))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        yield batch, [ids[i] for i in batch]

# SPDX-License-Identifier: MIT
"""Batched evaluation: one row per problem and attempt.

Greedy responses give pass@1 and independent samples pass@k. The loss of the reference answer is in
the row of the greedy response, so that loss and accuracy can be compared on the same problems.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from derotate.files.atomic import atomic_write
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
"""Reference answers per forward pass. It bounds memory; time and losses do not depend on it."""


@dataclass(frozen=True)
class Item:
    """A problem to evaluate: its prompt, reference answer, grader and verifier."""

    problem: str
    split: str
    fold: str
    cluster: str
    prompt: Prompt
    reference: str
    grade: Callable[[str], tuple[bool, str]]
    """Whether a response is correct, and its kind of error."""
    feedback: Callable[[str], str]
    """The verifier's message on a wrong response, which precedes the next attempt."""


@dataclass(frozen=True)
class Decoding:
    """Decoding parameters of a response; `temperature` 0 is greedy."""

    max_new_tokens: int
    batch_size: int
    temperature: float = 0.0


@dataclass(frozen=True)
class ExtraAttempts:
    """Responses beyond the first greedy one, to the problems of the chosen suites.

    Attributes:
        suites: pairs of split and fold.
        samples: independent samples per problem.
        temperature: of the samples.
        attempts: greedy attempts, each after the verifier's feedback on the previous one; the
            first of them is the greedy response itself.
        seed: of the samples.
    """

    suites: frozenset[tuple[str, str]] = frozenset()
    samples: int = 0
    temperature: float = 1.0
    attempts: int = 0
    seed: int = 0


GREEDY_ONLY = ExtraAttempts()


class Responder(Protocol):
    """A model with an engine that generates its responses."""

    def __call__(self, prompts: Sequence[Prompt], decoding: Decoding, seed: int = 0) -> list[str]:
        """One response per prompt, up to the end of the turn, without special tokens.

        Args:
            prompts: in any order; responses have the same order.
            decoding: length limit, batch size and temperature.
            seed: of the samples; greedy responses do not depend on it.
        """
        ...


def respond(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], decoding: Decoding, seed: int = 0
) -> list[str]:
    """Responses of a model by transformers' `generate`; see `Responder`.

    Args:
        model: causal language model in evaluation mode.
        tokenizer: its tokenizer.
        prompts: in any order; responses have the same order.
        decoding: length limit, batch size and temperature.
        seed: of the samples; greedy responses do not depend on it.
    """
    responses: list[str] = [""] * len(prompts)
    # top_k and top_p explicitly off: the generation config of a model may restrict sampling.
    sampling = (
        {"do_sample": True, "temperature": decoding.temperature, "top_k": 0, "top_p": 1.0}
        if decoding.temperature > 0
        else {"do_sample": False}
    )
    stops = stop_ids(model, tokenizer)
    # `generate` samples from torch's global generator.
    torch.manual_seed(seed)
    for batch, ids in _batches(tokenizer, prompts, decoding.batch_size):
        inputs, mask = left_padded(tokenizer, ids)
        with torch.inference_mode():
            tokens = model.generate(
                input_ids=inputs.to(model.device),
                attention_mask=mask.to(model.device),
                **sampling,
                # The generation config of instruct models has a penalty that changes greedy output.
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
    """Mean negative log-likelihood (nats per token) of each reference answer and its end token."""
    losses = [0.0] * len(items)
    for batch, prompts in _batches(tokenizer, [item.prompt for item in items], batch_size):
        answers = answer_ids(tokenizer, [items[i].reference for i in batch])
        width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
        # [batch, width], padded on the right: causal attention keeps losses free of the padding.
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
        # Logits at position t predict token t + 1, so the mask is shifted as the labels are.
        predicted = answer_mask[:, 1:]
        means = (token_losses * predicted).sum(1) / predicted.sum(1)
        for i, loss in zip(batch, means.tolist(), strict=True):
            losses[i] = loss
    return losses


def evaluate(
    responder: Responder,
    items: Sequence[Item],
    losses: Sequence[float],
    greedy: Decoding,
    extra: ExtraAttempts = GREEDY_ONLY,
) -> pd.DataFrame:
    """Rows of one checkpoint: greedy responses with losses, then the extra attempts.

    Args:
        responder: the checkpoint.
        items: the problems, each with its grader.
        losses: of the reference answers (`reference_losses`), nats per token.
        greedy: decoding of the greedy responses; its limits hold for the others too.
        extra: samples and attempts with feedback.

    Returns:
        `COLUMNS`; the loss is NaN except in the rows of greedy responses.
    """
    responses = responder([item.prompt for item in items], greedy)
    rows = [
        _row(item, "greedy", 0, response, loss)
        for item, response, loss in zip(items, responses, losses, strict=True)
    ]
    chosen = [
        (item, response)
        for item, response in zip(items, responses, strict=True)
        if (item.split, item.fold) in extra.suites
    ]
    again, first = [item for item, _ in chosen], [response for _, response in chosen]
    decoding = Decoding(greedy.max_new_tokens, greedy.batch_size, extra.temperature)
    # One call with a seed of its own per sample: more samples leave the first ones unchanged.
    for sample in range(extra.samples if again else 0):
        prompts = [item.prompt for item in again]
        responses = responder(prompts, decoding, draw_seed(extra.seed, sample))
        rows += [
            _row(item, "sample", sample, response, float("nan"))
            for item, response in zip(again, responses, strict=True)
        ]
    rows += _attempts_with_feedback(responder, again, first, greedy, extra.attempts)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _attempts_with_feedback(
    responder: Responder,
    items: Sequence[Item],
    first: Sequence[str],
    decoding: Decoding,
    attempts: int,
) -> list[tuple[Any, ...]]:
    """Rows of attempts up to the first correct one; response and feedback extend the context.

    Args:
        responder: the checkpoint.
        items: the problems.
        first: their greedy responses, which are attempt 0.
        decoding: of the later attempts.
        attempts: the most attempts per problem.
    """
    rows = []
    contexts: dict[int, Prompt] = {index: item.prompt for index, item in enumerate(items)}
    for attempt in range(attempts):
        responses = responder(list(contexts.values()), decoding) if attempt else first
        for index, response in zip(list(contexts), responses, strict=True):
            row = _row(items[index], "feedback", attempt, response, float("nan"))
            rows.append(row)
            if row[COLUMNS.index("correct")]:
                del contexts[index]
            else:
                feedback = items[index].feedback(response)
                contexts[index] = continued(contexts[index], response, feedback)
    return rows


def draw_seed(seed: int, part: int) -> int:
    """The seed of one part of a run, a hash of the run's seed and the part's number."""
    return int.from_bytes(sha256(f"{seed} {part}".encode()).digest()[:4], "big")


def write(rows: pd.DataFrame, parquet: Path, csv: Path) -> None:
    """Write the rows as Parquet and as CSV, each atomically; studies are compared by the CSV."""
    with atomic_write(parquet) as part:
        rows.to_parquet(part, index=False)
    with atomic_write(csv) as part:
        rows.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")


def _row(item: Item, decoding: str, attempt: int, response: str, loss: float) -> tuple[Any, ...]:
    correct, kind = item.grade(response)
    return (
        item.problem, item.split, item.fold, item.cluster, decoding, attempt, int(correct), kind,
        loss, response,
    )  # fmt: skip


def _batches(
    tokenizer: Any, prompts: Sequence[Prompt], size: int
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Indices and token ids in batches of similar prompt length, which need little padding."""
    ids = prompt_ids(tokenizer, prompts)
    # `sorted` is stable, so batches are reproducible.
    order = sorted(range(len(prompts)), key=lambda index: len(ids[index]))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        yield batch, [ids[i] for i in batch]

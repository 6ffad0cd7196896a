# SPDX-License-Identifier: MIT
"""A batch gives what one problem at a time gives; attempts end with the first success."""

from functools import cache, partial
from typing import Any

import pytest
import torch

from derotate.config.model import TinyModel
from derotate.evaluation.evaluate import (
    Decoding,
    ExtraAttempts,
    Item,
    evaluate,
    reference_losses,
    respond,
)
from derotate.models.tiny import tiny_model, tiny_tokenizer

WORDS = tuple("abcdefgh")
PROMPTS = ["a", "a b c d e", "c c", "h g f e d c b a", "b a", "d"]
OOD_TEST = frozenset({("ood", "test")})
DECODING = Decoding(max_new_tokens=6, batch_size=4)


@cache
def model_and_tokenizer() -> tuple[Any, Any]:
    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer(WORDS)
    config = TinyModel(hidden_size=16, intermediate_size=32, layers=2, heads=2)
    model = tiny_model(config, tokenizer, seed=0)
    # Random weights barely tell tokens apart; larger ones make the argmax plain.
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data *= 20
    return model.eval(), tokenizer


def item(prompt: str, correct: str = "never") -> Item:
    return Item(
        problem=prompt,
        split="ood",
        fold="test",
        cluster="x",
        prompt=prompt,
        reference="a b",
        grade=lambda response: (response == correct, "correct" if response == correct else "wrong"),
        feedback=lambda response: "h h",
    )


def test_a_batch_gives_what_each_prompt_gives_alone_in_its_order() -> None:
    model, tokenizer = model_and_tokenizer()
    together = respond(model, tokenizer, PROMPTS, DECODING)
    alone = [respond(model, tokenizer, [prompt], DECODING)[0] for prompt in PROMPTS]
    assert together == alone
    assert len(set(together)) > 1


def test_the_loss_is_the_mean_negative_log_likelihood_of_the_answer_and_the_end() -> None:
    model, tokenizer = model_and_tokenizer()
    losses = reference_losses(model, tokenizer, [item(prompt) for prompt in PROMPTS], 4)
    for prompt, loss in zip(PROMPTS, losses, strict=True):
        before = tokenizer(prompt)["input_ids"]
        answer = [*tokenizer("a b", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.inference_mode():
            logits = model(torch.tensor([before + answer])).logits[0].log_softmax(-1)
        places = range(len(before) - 1, len(before) - 1 + len(answer))
        expected = -sum(float(logits[i, t]) for i, t in zip(places, answer, strict=True)) / 3
        assert loss == pytest.approx(expected, rel=1e-5)


def test_samples_follow_their_seed_and_differ_between_attempts() -> None:
    model, tokenizer = model_and_tokenizer()
    responder = partial(respond, model, tokenizer)
    items = [item(prompt) for prompt in PROMPTS]
    losses = reference_losses(model, tokenizer, items)
    runs = [
        evaluate(responder, items, losses, DECODING, ExtraAttempts(OOD_TEST, 3, 5.0, seed=seed))
        for seed in (1, 1, 2)
    ]
    same, again, other = (run.query("decoding == 'sample'")["response"].tolist() for run in runs)
    assert same == again != other
    assert same[: len(items)] != same[len(items) : 2 * len(items)]


def test_attempts_read_the_feedback_and_stop_at_the_first_success() -> None:
    model, tokenizer = model_and_tokenizer()
    first = respond(model, tokenizer, ["a"], DECODING)[0]
    second = respond(model, tokenizer, [f"b {respond(model, tokenizer, ['b'], DECODING)[0]} h h"],
                     DECODING)[0]  # fmt: skip
    rows = evaluate(
        partial(respond, model, tokenizer),
        [item("a", correct=first), item("b", correct=second), item("c")],
        losses=[1.0, 1.0, 1.0],
        greedy=DECODING,
        extra=ExtraAttempts(OOD_TEST, attempts=3),
    ).query("decoding == 'feedback'")
    solved = {problem: own["correct"].tolist() for problem, own in rows.groupby("problem")}
    assert solved["a"] == [1]
    assert solved["b"] in ([1], [0, 1])
    assert solved["c"] == [0, 0, 0]

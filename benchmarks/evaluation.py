# SPDX-License-Identifier: MIT
"""Batched evaluation of a tiny model, beside one problem at a time by the same `generate`.

Both decode greedily with a KV cache and stop at the end token. The model must have been trained,
since an untrained one never stops: the donor of the shipped pair, or where there is none one
trained here for about a minute.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from comparison import REPEATS, THREADS, Comparison, alternate, show
from sft import id_samples, our_training

from derotate.config.schema import Config
from derotate.evaluation.evaluate import Decoding, respond
from derotate.models import checkpoint as checkpoints
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.tasks.general_points.answers import grade
from derotate.tasks.general_points.pretraining import WORDS
from derotate.tasks.general_points.problems import Problem, generate
from derotate.tasks.general_points.prompts import compact_prompt
from derotate.training.sft import Optimisation

SHIPPED = Path("results/reference/pair/donor")
TRAINING = Optimisation(
    learning_rate=2e-3, batch_size=64, warmup_steps=20, schedule="cosine", seed=1
)
TRAINING_STEPS = 300
PROBLEMS = 500
AGREEMENT = 0.995
"""Share of problems that must get the same verdict: padding changes the order of float sums, and
with it which of two tokens that are as good as equal comes first."""


def trained_model() -> tuple[Any, Any, str]:
    """A model that answers and stops, its tokenizer, and where it comes from."""
    if (SHIPPED / "model.safetensors").is_file():
        return *checkpoints.load(SHIPPED, dtype=torch.float32), str(SHIPPED)
    tokenizer = tiny_tokenizer(WORDS)
    model = tiny_model(Config().model, tokenizer, seed=1)
    our_training(model, tokenizer, id_samples(TRAINING_STEPS * TRAINING.batch_size), TRAINING)
    return model.eval(), tokenizer, f"a model trained here for {TRAINING_STEPS} steps"


def problems(count: int) -> list[Problem]:
    """Equally many ID and OOD problems, in random order."""
    draw = random.Random(0)
    chosen = [
        problem
        for split in ("id", "ood")
        for problem in draw.sample(generate(split, 1, seed=0), count // 2)
    ]
    return draw.sample(chosen, len(chosen))


def one_at_a_time(
    model: Any, tokenizer: Any, prompts: Sequence[str], max_new_tokens: int
) -> list[str]:
    """A greedy response to each prompt, with a KV cache, up to its end token."""
    responses = []
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        with torch.inference_mode():
            tokens = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=False,
                max_new_tokens=max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
        width = inputs["input_ids"].shape[1]
        responses.append(tokenizer.decode(tokens[0, width:], skip_special_tokens=True))
    return responses


def compare(repeats: int = REPEATS, count: int = PROBLEMS) -> Comparison:
    """Seconds a problem. Each repeat answers all problems in batches, and a part of them one at a
    time; the parts of all repeats together are all problems, so that each verdict is compared.
    """
    torch.set_num_threads(THREADS)
    model, tokenizer, origin = trained_model()
    settings = Config().evaluation
    decoding = Decoding(settings.max_new_tokens, settings.batch_size)
    asked = problems(count)
    prompts = [compact_prompt(problem) for problem in asked]
    batched: list[str] = []
    single: dict[int, str] = {}

    def ours(repeat: int) -> float:
        start = perf_counter()
        batched[:] = respond(model, tokenizer, prompts, decoding)
        return (perf_counter() - start) / len(prompts)

    def baseline(repeat: int) -> float:
        part = range(repeat, len(prompts), repeats)
        start = perf_counter()
        responses = one_at_a_time(
            model, tokenizer, [prompts[i] for i in part], settings.max_new_tokens
        )
        seconds = perf_counter() - start
        single.update(zip(part, responses, strict=True))
        return seconds / len(part)

    ours_seconds, baseline_seconds = alternate(ours, baseline, repeats)
    verdicts = [
        [grade(problem, responses[i], "compact").correct for responses in (batched, single)]
        for i, problem in enumerate(asked)
    ]
    agreed = sum(ours == theirs for ours, theirs in verdicts)
    correct = sum(ours for ours, _ in verdicts)
    same = sum(batched[i] == single[i] for i in range(len(asked)))
    return Comparison(
        name=f"evaluation of {origin}, batches of {decoding.batch_size}",
        baseline="one problem at a time",
        unit="problem",
        target=20,
        ours_seconds=ours_seconds,
        baseline_seconds=baseline_seconds,
        equal=agreed >= AGREEMENT * len(asked),
        checked=f"verdicts of {agreed} of {len(asked)} problems ({correct} correct), "
        f"{same} responses to the letter",
    )


if __name__ == "__main__":
    show(compare())

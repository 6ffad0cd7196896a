# SPDX-License-Identifier: MIT
"""Small trainings that tests run in several processes, or in one that they kill."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import model_zoo
import torch
from torch.distributed.fsdp import fully_shard
from transformers.modeling_layers import GradientCheckpointingLayer

from derotate.models import checkpoint as checkpoints
from derotate.models.checkpoint import load_state
from derotate.models.tiny import tiny_tokenizer
from derotate.stages.sft import train_sft
from derotate.tasks.samples import Sample
from derotate.training.fsdp import ONE_PROCESS, Compute
from derotate.training.full_weights import Whole, hand_out, load_in_first
from derotate.training.launch import is_first
from derotate.training.sft import Adapter, Optimisation, train

WORDS: Final = ("a", "b", "c", "d")
LAST: Final = 6
OPTIMISATION: Final = Optimisation(
    learning_rate=1e-3, batch_size=8, warmup_steps=2, schedule="constant_with_warmup", seed=3
)
MODELS: Final = {
    "qwen2": model_zoo.qwen2,
    "tied": partial(model_zoo.qwen2, tied=True),
    # text alone leaves its vision tower and its cross-attention without gradients
    "mllama": model_zoo.mllama,
}
ADAPTER: Final = Adapter(rank=2, alpha=4.0, matrices=("q_proj", "up_proj"))


@dataclass(frozen=True)
class Job:
    """A training of a tiny model, up to LAST, and after a first segment if it is cut."""

    compute: Compute = ONE_PROCESS
    model: str = "qwen2"
    cut: int | None = None
    adapter: Adapter | None = None
    dtype: torch.dtype = torch.float32


def difference(one: Path, other: Path) -> float:
    """The largest difference of a weight of two checkpoints of the same tensors."""
    first, second = load_state(one), load_state(other)
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def samples() -> list[Sample]:
    """The samples of all steps, of many lengths and no two alike."""
    texts = (
        f"{a} {b} {c}" + " d" * (number % 4)
        for number, (a, b, c) in enumerate(itertools.product(WORDS, repeat=3))
    )
    most = LAST * OPTIMISATION.batch_size
    return [Sample(text, text[::-1]) for text in itertools.islice(texts, most)]


def looks_trained(name: str) -> Any:
    """A tiny model of that name that looks trained."""
    model = MODELS[name]()
    model_zoo.power_law(model, seed=1)
    return model


def write_bases(jobs: Mapping[str, Job], folder: Path) -> None:
    """The base of each job, in the folder of the job."""
    for name, job in jobs.items():
        model = looks_trained(job.model).to(job.dtype)
        checkpoints.save(model, tiny_tokenizer(WORDS), folder / name / "base")


def run(jobs: Mapping[str, Job], folder: Path) -> None:
    """Run the jobs, one after the other, each in its folder: what each process does."""
    torch.set_num_threads(1)
    for name, job in jobs.items():
        for after, last in _segments(job):
            model, tokenizer = load_in_first(folder / name / "base", dtype=torch.float32)
            train(
                model=model,
                tokenizer=tokenizer,
                samples=samples()[after * OPTIMISATION.batch_size :],
                optimisation=OPTIMISATION,
                directories={last: folder / name / f"step-{last}"},
                log=folder / name / f"training-{last}.csv",
                resume_from=folder / name / f"state-{after}" if after else None,
                state=folder / name / f"state-{last}",
                adapter=job.adapter,
                compute=job.compute,
                log_every=1,
                dtype=job.dtype,
            )


def _segments(job: Job) -> Iterator[tuple[int, int]]:
    yield from itertools.pairwise([0, *([job.cut] if job.cut else []), LAST])


def shard_by_hand(folder: Path) -> None:
    """Load in the first process, shard, hand out; leave what is gathered from all of them."""
    torch.distributed.init_process_group("gloo")
    for name in MODELS:
        model, tokenizer = load_in_first(folder / name / "base", dtype=torch.float32)
        weights, architecture = model.state_dict(), type(model)
        for module in list(model.modules()):
            if isinstance(module, GradientCheckpointingLayer):
                fully_shard(module)
        fully_shard(model)
        hand_out(model, weights)
        gathered = Whole(architecture, sharded=True).of(model)
        if is_first():
            checkpoints.save(gathered, tokenizer, folder / name / "gathered")


def fail(folder: Path) -> None:
    """Raise in the second process, while the first would go on for long."""
    if os.environ["RANK"] == "1":
        raise checkpoints.CheckpointError(f"{folder}: not a checkpoint")
    time.sleep(600)


def prepare(folder: Path) -> None:
    """Write what `finetune` reads."""
    checkpoints.save(looks_trained("qwen2"), tiny_tokenizer(WORDS), folder / "base")
    lines = [{"prompt": sample.prompt, "response": sample.completion} for sample in samples()]
    (folder / "samples.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def finetune(folder: Path, out: Path, compute: Compute, origin: str = "") -> None:
    """The stage, with checkpoints on the way."""
    train_sft(
        start=folder / "base",
        samples=folder / "samples.jsonl",
        optimisation=OPTIMISATION,
        directories={step: out / f"step-{step}" for step in (3, LAST)},
        log=out / "training.csv",
        compute=compute,
        origin=origin,
    )


def stop_after(step: int) -> None:
    """Wait for a kill when the state of that step is in place."""
    moved = os.replace

    def replace(source: Path, target: Path) -> None:
        moved(source, target)
        if Path(target).name == f"state-{step}":
            print("the state is in place", flush=True)
            time.sleep(600)

    os.replace = replace  # type: ignore[assignment]


def argument(compute: Compute) -> str:
    """How the settings are given on the command line of this file."""
    return json.dumps(asdict(compute))


# the processes that this one starts run the file by the second name
if __name__ in {"__main__", "__mp_main__"}:
    torch.set_num_threads(1)
    stop_after(4)
if __name__ == "__main__":
    finetune(Path(sys.argv[1]), Path(sys.argv[2]), Compute(**json.loads(sys.argv[3])))

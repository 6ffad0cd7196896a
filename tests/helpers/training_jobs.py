# SPDX-License-Identifier: MIT
"""Small trainings that tests run in several processes, or in one that they kill."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import model_zoo
import torch
from torch.distributed.fsdp import fully_shard
from transformers.modeling_layers import GradientCheckpointingLayer

from derotate.config.training import Compute
from derotate.models import checkpoint as checkpoints
from derotate.models.checkpoint import load_state
from derotate.models.tiny import tiny_tokenizer
from derotate.stages.sft import train_sft
from derotate.tasks.samples import Sample
from derotate.training.collectives import is_main_process
from derotate.training.full_weights import FullWeights, broadcast_weights, load_on_main_process
from derotate.training.sft import Adapter, Optimisation, SftJob, train

WORDS: Final = ("a", "b", "c", "d")
LAST: Final = 6
ONE_PROCESS: Final = Compute()
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
    """A training of a tiny model up to step LAST, in two segments if it is `cut` at a step."""

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
    """Run the jobs one after the other, each in its folder; run in each process."""
    torch.set_num_threads(1)
    for name, job in jobs.items():
        for after, last in _segments(job):
            model, tokenizer = load_on_main_process(folder / name / "base", dtype=torch.float32)
            segment = SftJob(
                optimisation=OPTIMISATION,
                checkpoints={last: folder / name / f"step-{last}"},
                log=folder / name / f"training-{last}.csv",
                compute=job.compute,
                adapter=job.adapter,
                previous_state=folder / name / f"state-{after}" if after else None,
                final_state=folder / name / f"state-{last}",
                log_every=1,
            )
            later = samples()[after * OPTIMISATION.batch_size :]
            train(model, tokenizer, later, segment, dtype=job.dtype)


def _segments(job: Job) -> Iterator[tuple[int, int]]:
    yield from itertools.pairwise([0, *([job.cut] if job.cut else []), LAST])


def shard_by_hand(folder: Path) -> None:
    """Load on the main process, shard, broadcast; save the weights gathered from all processes."""
    torch.distributed.init_process_group("gloo")
    for name in MODELS:
        model, tokenizer = load_on_main_process(folder / name / "base", dtype=torch.float32)
        weights, architecture = model.state_dict(), type(model)
        for module in list(model.modules()):
            if isinstance(module, GradientCheckpointingLayer):
                fully_shard(module)
        fully_shard(model)
        broadcast_weights(model, weights)
        gathered = FullWeights(architecture, sharded=True).gather(model)
        if is_main_process():
            checkpoints.save(gathered, tokenizer, folder / name / "gathered")


def fail(folder: Path) -> None:
    """Raise in the second process, while the first would run on."""
    if os.environ["RANK"] == "1":
        raise checkpoints.CheckpointError(f"{folder}: not a checkpoint")
    time.sleep(600)


def prepare(folder: Path) -> None:
    """Write what `finetune` reads."""
    checkpoints.save(looks_trained("qwen2"), tiny_tokenizer(WORDS), folder / "base")
    lines = [{"prompt": sample.prompt, "response": sample.completion} for sample in samples()]
    (folder / "samples.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def finetune(folder: Path, out: Path, compute: Compute, origin: str = "") -> None:
    """The stage, with an intermediate checkpoint."""
    train_sft(
        SftJob(
            optimisation=OPTIMISATION,
            checkpoints={step: out / f"step-{step}" for step in (3, LAST)},
            log=out / "training.csv",
            compute=compute,
        ),
        start=folder / "base",
        samples=folder / "samples.jsonl",
        origin=origin,
    )


def stop_after(step: int) -> None:
    """Wait to be killed once the training state of that step is in place."""
    moved = os.replace

    def replace(source: Path, target: Path) -> None:
        moved(source, target)
        if Path(target).name == f"state-{step}":
            print("the state is in place", flush=True)
            time.sleep(600)

    os.replace = replace  # type: ignore[assignment]


# processes that this one starts import the file under the second name
if __name__ in {"__main__", "__mp_main__"}:
    torch.set_num_threads(1)
    stop_after(4)
if __name__ == "__main__":
    finetune(Path(sys.argv[1]), Path(sys.argv[2]), Compute.model_validate_json(sys.argv[3]))

# SPDX-License-Identifier: MIT
"""One of the processes that make a grid of recipes the streamed way, matrix by matrix.

It takes the next matrix from a queue that all processes share, decomposes donor and patient once,
and makes the edited weight of every recipe in float32. Weights that the published way made too are
compared on the spot; that takes no part of the time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter, process_time

import torch
from memory import Used, peak_rss
from published_surgery import file_name
from safetensors import safe_open
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.models.shards import Shards, open_shards
from derotate.runs.job_setup import keep_freed_memory
from derotate.spectral.decompose import factorise_streamed, tall
from derotate.spectral.factor_cache import FactorCache
from derotate.spectral.factors import Factors
from derotate.spectral.grid import streamed_grid
from derotate.surgery.edits import Decompose, part_of


@dataclass(frozen=True)
class Difference:
    """How far an edited weight is from the published one, in Frobenius norms.

    Attributes:
        recipe: that made it.
        matrix: its tensor name.
        of_weight: relative to the patient's weight.
        of_edit: relative to the published edit.
    """

    recipe: str
    matrix: str
    of_weight: float
    of_edit: float


@dataclass(frozen=True)
class Worked:
    """What one process did.

    Attributes:
        used: time without that of comparing, and memory.
        made: how many edited weights.
        differences: from those that the published way made too.
    """

    used: Used
    made: int
    differences: tuple[Difference, ...]


def decompose_in_memory(weight: Tensor) -> Factors:
    """Factors in float32 that nothing keeps."""
    return factorise_streamed(tall(weight))


def run(
    recipes: Sequence[Recipe],
    donor: Path,
    patient: Path,
    compared: Sequence[Recipe],
    made: Path,
    cache: Path | None,
    tasks: SimpleQueue[str | None],
    ready: Barrier,
    results: Connection,
) -> None:
    """Work until the queue says None and send a `Worked`.

    Args:
        recipes: the grid.
        donor: directory of a checkpoint.
        patient: of the same model.
        compared: recipes of which `published_surgery.run` left every weight in `made`.
        made: its folder.
        cache: folder of factors; None to hold those of one matrix at a time in memory.
        tasks: tensor names, and a None for each process.
        ready: passed by all processes at once, when their imports are done.
        results: where to send to.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    decompose = FactorCache(cache).factors if cache else decompose_in_memory
    sides = open_shards(donor), open_shards(patient)
    matrix = partial(_matrix, recipes, *sides, {one.name for one in compared}, made)
    ready.wait()
    start, started = perf_counter(), process_time()
    outside = Clock()
    differences: list[Difference] = []
    count = 0
    while (name := tasks.get()) is not None:
        differences += matrix(name, decompose, outside)
        count += len(recipes)
    used = Used(
        perf_counter() - start - outside.seconds,
        process_time() - started - outside.processor,
        peak_rss(),
    )
    results.send(Worked(used, count, tuple(differences)))


@dataclass
class Clock:
    """Time that does not count."""

    seconds: float = 0.0
    processor: float = 0.0


def _matrix(
    recipes: Sequence[Recipe],
    donor: Shards,
    patient: Shards,
    compared: set[str],
    made: Path,
    name: str,
    decompose: Decompose,
    outside: Clock,
) -> list[Difference]:
    """Every edited weight of one matrix, block by block; how far the compared ones are off."""
    before, weight = donor[name], patient[name]
    squares: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for step in streamed_grid(recipes, name, before, weight, decompose):
        if step.recipe.name in compared:
            start, started = perf_counter(), process_time()
            theirs = _published(made / file_name(step.recipe, name), step.rows, weight)
            old = part_of(weight, step.rows).to(torch.float32)
            found = squares[step.recipe.name]
            for at, part in enumerate((step.weight - theirs, old, theirs - old)):
                found[at] += float(part.double().square().sum())
            outside.seconds += perf_counter() - start
            outside.processor += process_time() - started
    return [
        Difference(recipe, name, math.sqrt(off / whole), math.sqrt(off / edit))
        for recipe, (off, whole, edit) in squares.items()
    ]


def _published(file: Path, rows: slice, weight: Tensor) -> Tensor:
    with safe_open(file, framework="pt") as opened:
        return part_of(opened.get_tensor("weight"), rows)

# SPDX-License-Identifier: MIT
"""A process of the benchmark that makes a grid of recipes as studies do, matrix by matrix.

It takes the next matrix from a queue that all processes share, decomposes donor and patient once,
and makes the edited weight of every recipe in float32 (`streamed_change`, `apply_change`). Weights
that the published algorithm made too are compared at once; the time of comparing does not count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from derotate.models.shards import open_shards
from derotate.runs.job_setup import keep_freed_memory
from derotate.spectral.decompose import block_of, factorise, tall_view
from derotate.spectral.factor_cache import FactorCache
from derotate.spectral.factors import Decompose, Factors
from derotate.surgery.edits import streamed_change
from derotate.surgery.in_memory import apply_change


@dataclass(frozen=True)
class GridJob:
    """The grid that all processes share.

    Attributes:
        recipes: the grid.
        donor: directory of a checkpoint.
        patient: directory of a checkpoint of the same model.
        compared: recipes of which `published_surgery.run` left every weight in `published`.
        published: folder of these weights.
        cache: folder of factors; None: those of one matrix at a time, in memory.
    """

    recipes: Sequence[Recipe]
    donor: Path
    patient: Path
    compared: Sequence[Recipe]
    published: Path
    cache: Path | None


@dataclass(frozen=True)
class Difference:
    """Difference of an edited weight from the published one, in Frobenius norms.

    Attributes:
        recipe: its name.
        matrix: name of the tensor.
        of_weight: relative to the patient's weight.
        of_edit: relative to the published edit.
    """

    recipe: str
    matrix: str
    of_weight: float
    of_edit: float


@dataclass(frozen=True)
class Worked:
    """The work of one process.

    Attributes:
        used: time without that of comparing, and memory.
        made: number of edited weights.
        differences: from the weights that the published algorithm made too.
    """

    used: Used
    made: int
    differences: tuple[Difference, ...]


@dataclass
class Clock:
    """Time that does not count: seconds by the clock and of the processor."""

    seconds: float = 0.0
    processor: float = 0.0


def run(job: GridJob, tasks: SimpleQueue[str | None], ready: Barrier, results: Connection) -> None:
    """Work until the queue gives None, then send a `Worked`.

    Args:
        job: the grid.
        tasks: tensor names, and one None per process.
        ready: passed by all processes together, after their imports.
        results: where to send to.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    decompose = FactorCache(job.cache).factors if job.cache else factorise
    donor, patient = open_shards(job.donor), open_shards(job.patient)
    ready.wait()
    start, started = perf_counter(), process_time()
    outside = Clock()
    differences: list[Difference] = []
    made = 0
    while (name := tasks.get()) is not None:
        differences += _matrix(job, name, (donor[name], patient[name]), decompose, outside)
        made += len(job.recipes)
    used = Used(
        perf_counter() - start - outside.seconds,
        process_time() - started - outside.processor,
        peak_rss(),
    )
    results.send(Worked(used, made, tuple(differences)))


def _matrix(
    job: GridJob,
    name: str,
    weights: tuple[Tensor, Tensor],
    decompose: Decompose,
    outside: Clock,
) -> list[Difference]:
    """Make every edited weight of one matrix; returns the differences of the compared ones."""
    donor, patient = weights
    factors = {id(weight): decompose(weight) for weight in weights}

    def known(weight: Tensor) -> Factors:
        return factors[id(weight)]

    edited = torch.empty(patient.shape)
    compared = {recipe.name for recipe in job.compared}
    differences = []
    for recipe in job.recipes:
        apply_change(streamed_change(recipe, name, donor, patient, known), patient, edited)
        if recipe.name in compared:
            start, started = perf_counter(), process_time()
            file = job.published / file_name(recipe, name)
            differences.append(_difference(recipe.name, name, edited, patient, file))
            outside.seconds += perf_counter() - start
            outside.processor += process_time() - started
    return differences


def _difference(
    recipe: str, matrix: str, edited: Tensor, patient: Tensor, published: Path
) -> Difference:
    """Compare in blocks: a float64 copy of the matrix would count as memory of the process."""
    error = weight = edit = 0.0
    with safe_open(published, framework="pt") as file:
        theirs = file.get_tensor("weight")
        for rows in tall_view(patient).blocks():
            expected, before = block_of(theirs, rows), block_of(patient, rows).to(torch.float32)
            error += float((block_of(edited, rows) - expected).double().square().sum())
            weight += float(before.double().square().sum())
            edit += float((expected - before).double().square().sum())
    return Difference(recipe, matrix, math.sqrt(error / weight), math.sqrt(error / edit))

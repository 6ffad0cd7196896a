# SPDX-License-Identifier: MIT
"""The published surgery on whole checkpoints, as a process of its own.

Written from its description (arXiv 2509.12235 and its released code): both models are in memory,
and every recipe decomposes each matrix of both in float32, combines the bands and rebuilds the
weight. The published scripts hold and write 16-bit weights. Here weights keep their stored dtype
and results are not cast, so that float32 values can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time

import torch
from memory import Used, peak_rss
from safetensors.torch import save_file
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.models.shards import open_shards
from derotate.runs.job_setup import keep_freed_memory


def edited_weight(recipe: Recipe, donor: Tensor, patient: Tensor) -> Tensor:
    """U' diag(S') V'^T of one matrix [out, in], float32, with the donor's top band.

    As published, directions keep the patient's values. Values alone are a variant that the papers
    describe but did not release.
    """
    assert recipe.band is not None
    u_donor, s_donor, vh_donor = torch.linalg.svd(donor, full_matrices=False)
    u, s, vh = torch.linalg.svd(patient, full_matrices=False)
    top = recipe.band.size(len(s))
    if recipe.part in ("directions", "both"):
        u = torch.cat([u_donor[:, :top], u[:, top:]], dim=1)
        vh = torch.cat([vh_donor[:top], vh[top:]])
    if recipe.part in ("values", "both"):
        s = torch.cat([s_donor[:top], s[top:]])
    return (u * s) @ vh


def load_whole(directory: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint by name, of the stored dtype, in memory.

    Without transformers, which the published scripts import too.
    """
    # Copies: libraries map the file today, and only the pages that were read count as memory.
    return {name: tensor.clone() for name, tensor in open_shards(directory).items()}


def edited_weights(
    recipes: Sequence[Recipe], donor: Path, patient: Path, names: Sequence[str]
) -> Iterator[tuple[Recipe, str, Tensor, float, float]]:
    """Stream recipe, tensor name, edited weight, seconds and processor seconds of each edit."""
    before, after = load_whole(donor), load_whole(patient)
    for recipe in recipes:
        for name in names:
            start, started = perf_counter(), process_time()
            weight = edited_weight(recipe, before[name].float(), after[name].float())
            yield recipe, name, weight, perf_counter() - start, process_time() - started


def run(
    recipes: Sequence[Recipe],
    donor: Path,
    patient: Path,
    names: Sequence[str],
    made: Path,
    threads: int,
    results: Connection,
) -> None:
    """Make the variants, write each weight to `made` for comparison and send a `Used`.

    Only decomposing and rebuilding are timed: no imports, no reading, no writing.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    seconds = processor = 0.0
    for recipe, name, weight, elapsed, worked in edited_weights(recipes, donor, patient, names):
        seconds += elapsed
        processor += worked
        save_file({"weight": weight.contiguous()}, made / file_name(recipe, name))
    results.send(Used(seconds, processor, peak_rss()))


def file_name(recipe: Recipe, name: str) -> str:
    """File of an edited weight that is kept for comparison."""
    return f"{recipe.name}-{name}.safetensors"

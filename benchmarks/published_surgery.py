# SPDX-License-Identifier: MIT
"""The published surgery on whole checkpoints, as a process of its own.

Written anew from its description (knowledge/papers.md, section 3): both models whole in memory,
and for every recipe and matrix two thin decompositions in float32, after which the bands are put
together and the weight is rebuilt. The published scripts hold 16-bit weights; what is loaded here
keeps the type it is stored in. They write each variant in 16 bits; here nothing is cast, so that
float32 values can be compared.
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
    """U' diag(S') V'^T of one matrix [out, in], float32; the top band is the donor's.

    The published directions keep the patient's values; values alone are the variant that the
    papers describe and did not release.
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
    """Every tensor of a checkpoint by name, of the stored type, in memory.

    Copies: what a library loads today stays mapped from the file, and of that only what was used
    counts as memory. Without transformers, which the published scripts also hold.
    """
    return {name: tensor.clone() for name, tensor in open_shards(directory).items()}


def edited_weights(
    recipes: Sequence[Recipe], donor: Path, patient: Path, names: Sequence[str]
) -> Iterator[tuple[Recipe, str, Tensor, float, float]]:
    """Recipe, tensor name, edited weight, seconds and processor seconds of its making."""
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
    """Make the variants, keep each weight in `made` for comparison and send what it took.

    Only the decompositions and the rebuilding are timed: no import, no reading, no writing.
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
    """Where the edited weight of a matrix is kept for comparison."""
    return f"{recipe.name}-{name}.safetensors"

# SPDX-License-Identifier: MIT
"""The memory that surgery takes is bounded by one matrix, whatever the size of the checkpoint."""

import multiprocessing
import threading
from pathlib import Path

import pytest
import torch
from model_zoo import TEXT, write
from transformers import Qwen2Config, Qwen2ForCausalLM

from derotate.settings import Guards
from derotate.spectral.recipes import Band, Recipe
from derotate.weights.export import operate

HIDDEN, INTERMEDIATE = 1024, 6144
CONSTANT = 96 * 2**20
"""Blocks and buffers, which do not grow with the matrix."""


def anonymous() -> int:
    """Bytes of this process that are not those of a mapped file."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def growth(donor: Path, patient: Path, part: str, out: Path) -> int:
    """By how many bytes surgery makes this process grow at its peak; sampled each 5 ms."""
    guards = Guards(marchenko_pastur_distance=0.0, relative_change=0.5)
    recipe = Recipe.model_validate({"name": "r", "part": part, "band": Band(fraction=0.2)})
    done, peak = threading.Event(), [anonymous()]
    before = peak[0]

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    operate(donor, patient, recipe, out, guards)
    done.set()
    watcher.join()
    return peak[0] - before


@pytest.mark.slow
@pytest.mark.parametrize("part", ["directions", "aligned"])
def test_surgery_takes_three_float64_copies_of_the_largest_matrix(
    tmp_path: Path, part: str
) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE}
    model = Qwen2ForCausalLM(Qwen2Config(**(TEXT | sizes)))
    falling = torch.arange(1, INTERMEDIATE + 1).pow(-0.7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= falling[: parameter.shape[1]]
    donor = write(model, tmp_path / "donor", shard="100MB")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * parameter.std() * torch.randn_like(parameter)
    patient = write(model, tmp_path / "patient", shard="100MB")
    del model
    # a process of its own: what this one has taken and freed would be used again unseen
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        taken = pool.apply(growth, (donor, patient, part, tmp_path / "out"))
    assert taken <= 3 * 8 * HIDDEN * INTERMEDIATE + CONSTANT

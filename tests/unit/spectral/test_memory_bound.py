# SPDX-License-Identifier: MIT
"""The memory that surgery takes is bounded by one matrix, whatever the size of the checkpoint."""

import multiprocessing
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_zoo import TEXT, write
from transformers import Qwen2Config, Qwen2ForCausalLM

from derotate.config.recipes import Band, Recipe
from derotate.config.surgery import Guards
from derotate.models.pair import open_compatible
from derotate.spectral.factor_sources import stored
from derotate.spectral.factors import load_factors
from derotate.stages.factors import factorise_checkpoint
from derotate.surgery import export
from derotate.surgery.apply import Surgery
from derotate.surgery.in_memory import set_variant

HIDDEN, INTERMEDIATE = 1024, 6144
CONSTANT = 96 * 2**20
"""Blocks and buffers, which do not grow with the matrix."""
BOUND = 3 * 8 * HIDDEN * INTERMEDIATE + CONSTANT
GUARDS = Guards(marchenko_pastur_distance=0.0, relative_change=0.5)


def anonymous() -> int:
    """Bytes of this process that are not those of a mapped file."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def growth(action: Callable[[], object]) -> int:
    """By how many bytes an action makes this process grow at its peak; sampled each 5 ms."""
    done, peak = threading.Event(), [anonymous()]
    before = peak[0]

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    action()
    done.set()
    watcher.join()
    return peak[0] - before


def recipe(part: str) -> Recipe:
    return Recipe.model_validate({"name": "r", "part": part, "band": Band(fraction=0.2)})


def of_export(donor: Path, patient: Path, part: str) -> int:
    """Growth by an edit that is written as a checkpoint."""
    out = patient.with_name("out")
    return growth(lambda: export.operate(donor, patient, recipe(part), out, GUARDS))


def of_factors(checkpoint: Path) -> int:
    """Growth by the decomposition of a checkpoint."""
    out, table = checkpoint.with_suffix(".safetensors"), checkpoint.with_suffix(".csv")
    return growth(lambda: factorise_checkpoint(checkpoint, None, GUARDS, out, table))


def of_variant(donor: Path, patient: Path, part: str) -> int:
    """Growth of a process with the loaded patient by making it a variant."""
    model = Qwen2ForCausalLM.from_pretrained(patient)
    for parameter in model.parameters():
        # what is mapped would be counted when it is written to
        parameter.data = parameter.data.clone()
    files = [side.with_suffix(".safetensors") for side in (donor, patient)]
    sources = stored(*map(load_factors, files), patient.with_name("passing"))
    surgery = Surgery.resolve(open_compatible(donor, patient), recipe(part), sources)
    return growth(lambda: set_variant(model, surgery))


def alone(of: Callable[..., int], *arguments: object) -> int:
    """What a process of its own grows by: what this one took and freed would be used unseen."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(of, arguments)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Donor and patient, in shards of 100 MB, whose largest matrix is most of a layer."""
    folder = tmp_path_factory.mktemp("wide")
    torch.manual_seed(0)
    sizes = {"hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE}
    model = Qwen2ForCausalLM(Qwen2Config(**(TEXT | sizes)))
    falling = torch.arange(1, INTERMEDIATE + 1).pow(-0.7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= falling[: parameter.shape[1]]
    donor = write(model, folder / "donor", shard="100MB")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * parameter.std() * torch.randn_like(parameter)
    return donor, write(model, folder / "patient", shard="100MB")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["directions", "aligned"])
def test_surgery_takes_three_float64_copies_of_the_largest_matrix(
    sides: tuple[Path, Path], part: str
) -> None:
    taken = alone(of_export, *sides, part)
    shutil.rmtree(sides[1].with_name("out"))
    assert taken <= BOUND


@pytest.mark.slow
def test_the_rules_take_no_more(sides: tuple[Path, Path]) -> None:
    assert alone(of_factors, sides[0]) <= BOUND
    assert alone(of_factors, sides[1]) <= BOUND
    assert alone(of_variant, *sides, "directions") <= BOUND
    assert alone(of_variant, *sides, "aligned") <= BOUND

# SPDX-License-Identifier: MIT
"""Our grid of recipes and the published algorithm, as the benchmark runs them, give equal weights.

Both run in this process, on a tiny checkpoint; what the benchmark adds is processes and a clock.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from model_zoo import llama, pair
from safetensors.torch import load_file, save_file

from derotate.config.matrix_kinds import DEFAULT_KINDS, matrix_kind
from derotate.models.shards import open_shards
from derotate.spectral import decompose as stream

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder_of_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts are no package; a run puts their folder first, and so do these tests."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(stream, "BLOCK", 500)
    torch.set_num_threads(1)


def names_of(directory: Path) -> list[str]:
    kinds = {name: matrix_kind(name) for name in open_shards(directory)}
    return [name for name, kind in kinds.items() if kind and kind[1] in DEFAULT_KINDS]


def published(donor: Path, patient: Path, recipes: Any, made: Path) -> Any:
    """What the process of the published algorithm sends."""
    receive, send = multiprocessing.Pipe(duplex=False)
    run = import_module("published_surgery").run
    run(recipes, donor, patient, names_of(patient), made, 1, send)
    return receive.recv()


def streamed(donor: Path, patient: Path, recipes: Any, made: Path, cache: Path | None) -> Any:
    """What a process of the streamed grid sends."""
    tasks, ready = multiprocessing.SimpleQueue(), multiprocessing.Barrier(1)
    receive, send = multiprocessing.Pipe(duplex=False)
    for name in [*names_of(patient), None]:
        tasks.put(name)
    grid = import_module("recipe_grid").GRID
    worker = import_module("grid_worker")
    job = worker.GridJob(grid, donor, patient, recipes, made, cache)
    worker.run(job, tasks, ready, send)
    return receive.recv()


def test_every_weight_of_the_grid_is_the_published_one(tmp_path: Path) -> None:
    bench, grid = import_module("streaming"), import_module("recipe_grid").GRID
    donor, patient = pair(llama(), tmp_path, shard="20KB")
    made = tmp_path / "made"
    made.mkdir()
    published(donor, patient, grid, made)
    for cache in (None, tmp_path / "factors"):
        found = streamed(donor, patient, grid, made, cache)
        assert found.made == len(found.differences) == 14 * len(grid) == 14 * 30
        assert max(one.of_weight for one in found.differences) <= bench.WEIGHT_BOUND
        assert max(one.of_edit for one in found.differences) <= bench.EDIT_BOUND


def test_another_edit_than_the_published_one_is_seen(tmp_path: Path) -> None:
    bench, grid = import_module("streaming"), import_module("recipe_grid").GRID[:2]
    donor, patient = pair(llama(), tmp_path)
    made = tmp_path / "made"
    made.mkdir()
    published(donor, patient, grid, made)
    for file in made.glob(f"{grid[0].name}-*layers.1.mlp.down_proj*"):
        save_file({"weight": load_file(file)["weight"] * (1 + 1e-3)}, file)
    found = streamed(donor, patient, grid, made, None)
    wrong = [one for one in found.differences if one.of_weight > bench.WEIGHT_BOUND]
    assert len(wrong) == 1
    assert wrong[0].of_edit > bench.EDIT_BOUND


def turned_within(weight: torch.Tensor, coincide: int) -> torch.Tensor:
    """The weight with the values `coincide` and the next made equal but for 1e-7 of the largest."""
    u, s, vh = torch.linalg.svd(weight.double(), full_matrices=False)
    s[coincide + 1] = s[coincide] - 1e-7 * s[0]
    return (u * s) @ vh


def test_where_values_nearly_coincide_at_the_edge_of_a_band_the_published_way_errs(
    tmp_path: Path,
) -> None:
    bench, exact = import_module("streaming"), import_module("exact_surgery")
    recipe = next(
        one for one in import_module("recipe_grid").GRID if one.name == "directions-top50"
    )
    donor, patient = pair(llama(), tmp_path)
    name = next(name for name in names_of(patient) if name.endswith("1.self_attn.q_proj.weight"))
    for side in (donor, patient):
        file = side / "model.safetensors"
        tensors = {key: tensor.clone() for key, tensor in load_file(file).items()}
        rank = min(tensors[name].shape)
        tensors[name] = turned_within(tensors[name], rank // 2 - 1).float()
        save_file(tensors, file, metadata={"format": "pt"})
    ours, theirs = exact.worst_from_exact(donor, patient, [(recipe, name)])
    assert ours <= bench.EXACT_BOUND
    assert theirs > bench.WEIGHT_BOUND


def test_a_weight_that_differs_is_excused_only_if_ours_is_the_exact_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = import_module("grid_worker")
    bench, grid = import_module("streaming"), import_module("recipe_grid").GRID
    donor, patient = pair(llama(), tmp_path)
    names = tuple(names_of(patient))
    whole = bench.Pair("a tiny model", donor, patient, names, whole=False)
    same = [worker.Difference(grid[0].name, name, 1e-6, 1e-3) for name in names]
    other = worker.Difference(grid[0].name, names[0], 1e-4, 1e-3)
    assert bench.agreement(whole, same, len(names))[0]
    assert not bench.agreement(whole, same, len(names) + 1)[0]
    excused, said = bench.agreement(whole, [other, *same[1:]], len(names))
    assert excused
    assert "the other 1 of ours" in said
    monkeypatch.setattr(bench, "EXACT_BOUND", 1e-12)  # as if ours were off
    assert not bench.agreement(whole, [other, *same[1:]], len(names))[0]


def test_a_layer_of_the_shapes_of_qwen_looks_trained(tmp_path: Path) -> None:
    writer = import_module("qwen_layer")
    donor, patient = writer.write_pair(tmp_path, hidden=64, intermediate=160, heads=4, keys=2)
    assert writer.write_pair(tmp_path, hidden=64) == (donor, patient)  # not made again
    names = names_of(patient)
    assert len(names) == 7
    before, after = open_shards(donor), open_shards(patient)
    for name in names:
        moved = float((after[name].float() - before[name].float()).norm())
        # bfloat16 keeps a step of the size of the noise only roughly
        assert moved / float(before[name].float().norm()) == pytest.approx(writer.NOISE, rel=0.2)


def test_the_memory_of_a_process_that_has_ended_is_none() -> None:
    memory = import_module("memory")
    for look in (memory.shared, memory.anonymous):
        assert look(2**22 + 1) == 0
        assert look(os.getpid()) > 2**20
    assert memory.peak_rss() > 2**20


def test_the_peak_is_what_was_held_for_a_while() -> None:
    memory = import_module("memory")
    with memory.PeakMemory([os.getpid()], memory.anonymous, period=0.001) as watched:
        before = memory.anonymous(os.getpid())
        # A new map: the allocator may give a tensor freed pages that are still resident.
        with mmap.mmap(-1, 2**25, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
            held.write(b"1" * len(held))
            time.sleep(1.0)  # a busy machine may run the sampling thread late
    assert watched.peak >= before + 2**24


def test_the_published_way_holds_the_weights_and_no_map_of_their_file(tmp_path: Path) -> None:
    donor, _ = pair(llama(), tmp_path)
    file = str(donor / "model.safetensors")
    held = import_module("published_surgery").load_whole(donor)
    assert set(held) == set(open_shards(donor))
    assert file not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(
    ("cores", "processor", "warned"), [(0.1, 19.9, False), (0.3, 17.0, True), (2.0, 4.0, True)]
)
def test_times_of_a_busy_machine_are_marked(cores: float, processor: float, warned: bool) -> None:
    busy = import_module("busy")
    for warning in (busy.before(cores), busy.afterwards(processor, 10.0, 2)):
        assert (warning is not None) == warned
        assert warning is None or (warning.startswith("WARNING") and "\n" not in warning)

# SPDX-License-Identifier: MIT
"""Sparse checkpoints of the papers' sizes: same names and shapes, almost no disk space."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from model_zoo import mllama, qwen2

from derotate.config.surgery import Guards
from derotate.models.shards import open_shards
from derotate.surgery.export import operate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder_of_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts are not a package: put their folder on the path, as a run does."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.mark.parametrize("make", [qwen2, mllama])
def test_a_sparse_checkpoint_is_edited_into_a_sparse_one(tmp_path: Path, make: Any) -> None:
    bench = import_module("full_size")
    config = make().config
    config.architectures = [type(make()).__name__]
    shapes = bench.tensor_shapes(config)
    sides = [bench.write_sparse(tmp_path / side, config, shapes) for side in ("donor", "patient")]
    done = operate(*sides, bench.INTERPOLATION, tmp_path / "out", Guards())
    assert len(done.rows) >= 14
    out = open_shards(tmp_path / "out")
    assert {name: out.places[name].shape for name in out} == shapes
    assert not any(out[name].any() for name in out)


def test_names_of_vision_checkpoints_are_the_published_ones() -> None:
    config = mllama().config
    config.architectures = ["MllamaForConditionalGeneration"]
    names = import_module("full_size").tensor_shapes(config)
    assert "language_model.model.layers.1.cross_attn.q_proj.weight" in names
    assert "language_model.lm_head.weight" in names
    assert {name.split(".")[0] for name in names} == {
        "language_model",
        "vision_model",
        "multi_modal_projector",
    }


@pytest.mark.parametrize(("model", "billions"), [("qwen", 7.6), ("mllama", 10.6)])
def test_the_full_models_have_their_published_sizes(model: str, billions: float) -> None:
    bench = import_module("full_size")
    shapes = bench.tensor_shapes(bench.config_of(model, None))
    count = sum(math.prod(shape) for shape in shapes.values())
    assert count / 1e9 == pytest.approx(billions, abs=0.1)


def test_an_edit_of_a_sparse_checkpoint_takes_no_disk_space(tmp_path: Path) -> None:
    bench = import_module("full_size")
    config = qwen2().config
    config.update({"hidden_size": 512, "intermediate_size": 2048, "vocab_size": 4096})
    config.architectures = ["Qwen2ForCausalLM"]
    shapes = bench.tensor_shapes(config)
    sides = [bench.write_sparse(tmp_path / side, config, shapes) for side in ("donor", "patient")]
    took = bench.measure(*sides, bench.INTERPOLATION, tmp_path / "out")
    assert took.matrices == 14
    assert took.size > 16e6
    assert took.disk < 0.01 * took.size
    assert 10e6 < took.anonymous < bench.TARGET


def test_a_dense_layer_passes_the_guards_and_is_edited(tmp_path: Path) -> None:
    bench = import_module("full_size")
    sides = import_module("qwen_layer").write_pair(
        tmp_path, hidden=128, intermediate=320, heads=4, keys=2
    )
    done = operate(*sides, bench.DIRECTIONS, tmp_path / "out", Guards())
    assert len(done.rows) == 7
    assert all(row.edit_norm > 0 for row in done.rows)

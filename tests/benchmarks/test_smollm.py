# SPDX-License-Identifier: MIT
"""A real pretrained model, SmolLM2-135M: guards, spectra, and a recipe in both formats.

Skipped where the model is not installed; how that is done is in the reason.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from derotate.cli import app
from derotate.config.recipes import Band, Recipe
from derotate.config.surgery import Guards
from derotate.models.shards import open_shards
from derotate.spectral.pair_metrics import compare
from derotate.stages.spectra import NULL_SEED
from derotate.surgery.export import Options, operate

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
UP = "model.layers.7.mlp.up_proj.weight"
DOWN = "model.layers.7.mlp.down_proj.weight"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """SmolLM2 in float32, and a copy with noise of 1 % in every matrix."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        smollm = import_module("smollm")
    finally:
        sys.path.remove(str(BENCHMARKS))
    if smollm.gguf_file() is None:
        pytest.skip(f"SmolLM2 is not installed: {smollm.INSTALL}")
    donor, patient = smollm.write_pair(tmp_path_factory.mktemp("smollm"), torch.float32)
    return donor, patient


def first_layers(checkpoint: Path, out: Path, layers: int = 2) -> Path:
    """The same model cut after its first layers, for what takes seconds a matrix."""
    shutil.copytree(checkpoint, out, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((out / "config.json").read_text())
    config["num_hidden_layers"] = layers
    (out / "config.json").write_text(json.dumps(config))
    later = tuple(f"model.layers.{layer}." for layer in range(layers, 30))
    kept = {name: t.clone() for name, t in open_shards(checkpoint).items()
            if not name.startswith(later)}  # fmt: skip
    save_file(kept, out / "model.safetensors", metadata={"format": "pt"})
    return out


def test_the_model_and_its_noised_copy_pass_the_guards(pair: tuple[Path, Path]) -> None:
    donor, patient = map(str, pair)
    done = CliRunner().invoke(app, ["check", patient, "--reference", donor])
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith(f"{patient}: 210 matrices, passes\n")


def dropped(tensors: dict[str, Tensor]) -> None:
    del tensors[UP]


def renamed(tensors: dict[str, Tensor]) -> None:
    tensors[UP.replace("up_proj", "upward")] = tensors.pop(UP)


def prefixed(tensors: dict[str, Tensor]) -> None:
    for name in list(tensors):
        tensors[f"language_model.{name}"] = tensors.pop(name)


def spoiled(tensors: dict[str, Tensor]) -> None:
    tensors[DOWN][100, 200] = torch.nan


def initialised(tensors: dict[str, Tensor]) -> None:
    torch.nn.init.normal_(tensors[DOWN], std=float(tensors[DOWN].std()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dropped, f"{UP} would be left at random weights"),
        (renamed, f"{UP} would be left at random weights"),
        (prefixed, "under a prefix that the model does not use"),
        (spoiled, f"{DOWN} holds a NaN"),
        (initialised, f"{DOWN} has the spectrum of random weights"),
    ],
)
def test_a_broken_copy_is_refused_by_name_in_one_line(
    pair: tuple[Path, Path],
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], None],
    reason: str,
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(pair[0], broken, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = load_file(pair[0] / "model.safetensors")
    torch.manual_seed(0)
    changed = {name: t.clone() if name == DOWN else t for name, t in tensors.items()}
    change(changed)
    save_file(changed, broken / "model.safetensors", metadata={"format": "pt"})
    done = CliRunner().invoke(app, ["check", str(broken)])
    assert done.exit_code == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_recipe_gives_the_same_logits_as_checkpoint_and_as_adapter(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    from peft import PeftModel

    donor, patient = pair
    recipe = Recipe(name="directions-top20", part="directions", band=Band(fraction=0.2))
    cache = tmp_path / "factors"
    operate(donor, patient, recipe, tmp_path / "full", Guards(), options=Options(cache=cache))
    done = operate(
        donor, patient, recipe, tmp_path / "lora", Guards(), options=Options("lora", cache)
    )
    assert len(done.rows) == 210
    tokenizer = AutoTokenizer.from_pretrained(patient)
    tokens = tokenizer("The capital of France is Paris, and that of Italy", return_tensors="pt")
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(patient)
        before = plain(**tokens).logits
        full = AutoModelForCausalLM.from_pretrained(tmp_path / "full")(**tokens).logits
        adapted = PeftModel.from_pretrained(plain, tmp_path / "lora")(**tokens).logits
    assert full.dtype == torch.float32
    assert float((full - before).abs().max()) > 0.1
    torch.testing.assert_close(adapted, full, rtol=0, atol=1e-4)
    # still the model that it was: it knows what comes next
    assert tokenizer.decode(full[0, -1].argmax()) == " is"


def test_a_noised_copy_turns_as_noise_does(pair: tuple[Path, Path], tmp_path: Path) -> None:
    sides = [first_layers(side, tmp_path / side.name) for side in pair]
    compare(*sides, tmp_path / "spectra.parquet", (0.2,), null_seed=NULL_SEED)
    table = pd.read_parquet(tmp_path / "spectra.parquet")
    assert table["matrix"].nunique() == 14
    angles = table[table["metric"] == "left_principal_angle"]
    means = angles.groupby("against")["value"].mean()
    assert means["patient"] == pytest.approx(means["norm_null"], rel=0.05)
    assert means["patient"] < 0.5 * means["unrelated_null"]
    moved = table[table["metric"] == "relative_norm"].groupby("against")["value"].median()
    assert moved["patient"] == pytest.approx(0.01, rel=0.01)

# SPDX-License-Identifier: MIT
"""What is written is the patient and its edit, as a checkpoint and as an adapter; guards refuse."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from model_zoo import llama, mllama, near, pair, power_law, qwen2, write
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from derotate.cli import app
from derotate.config.recipes import Recipe
from derotate.config.surgery import Guards
from derotate.models.checkpoint import CheckpointError
from derotate.models.shards import open_shards
from derotate.spectral import decompose as stream
from derotate.spectral.decompose import factorise
from derotate.spectral.factors import save_factors
from derotate.spectral.guards import GuardError
from derotate.spectral.pair_metrics import compare
from derotate.stages import spectra
from derotate.surgery.edits import streamed_change
from derotate.surgery.export import RECORD, Options, operate
from derotate.surgery.low_rank import NotLowRankError

GUARDS = Guards(marchenko_pastur_distance=0.05, relative_change=0.5)
LORA = Options("lora")
BAND = {"fraction": 0.2}
MODELS: dict[str, Callable[[], Any]] = {
    "llama": llama,
    "qwen2": qwen2,
    "qwen2-tied": lambda: qwen2(tied=True),
}
RECIPES: dict[str, dict[str, Any]] = {
    "values": {"band": BAND},
    "directions": {"band": BAND},
    "aligned": {"band": {"fraction": 0.1}},
    "rollback": {},
    "interpolate": {"amount": 0.4},
    "low_rank": {"rank": 2},
    "random_rotation": {"band": BAND},
    "random_norm": {"band": BAND},
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks a matrix."""
    monkeypatch.setattr(stream, "BLOCK", 500)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Donor and patient of each architecture, in shards of 20 kB."""
    torch.set_num_threads(1)
    return {
        name: pair(make(), tmp_path_factory.mktemp(name), shard="20KB")
        for name, make in (MODELS | {"mllama": mllama}).items()
    }


def recipe(part: str, **keys: Any) -> Recipe:
    return Recipe.model_validate({"name": part, "part": part} | RECIPES[part] | keys)


def state(directory: Path) -> dict[str, Tensor]:
    """All tensors of a directory, in memory."""
    return {name: tensor.clone() for name, tensor in open_shards(directory).items()}


def in_memory(donor: Path, patient: Path, edit: Recipe) -> dict[str, Tensor]:
    """The patient with the change of each matrix, made at once."""
    before, after = state(donor), state(patient)
    edited = {}
    for name, weight in after.items():
        if edit.edits(name):
            change = streamed_change(edit, name, before[name], weight, factorise)
            edited[name] = (weight.float() + change.block(slice(None))).to(weight.dtype)
    return after | edited


@pytest.mark.parametrize("part", RECIPES)
@pytest.mark.parametrize("model", [*MODELS, "mllama"])
def test_the_written_checkpoint_is_the_patient_and_the_change_of_each_matrix(
    pairs: dict[str, tuple[Path, Path]], model: str, part: str, tmp_path: Path
) -> None:
    donor, patient = pairs[model]
    operate(donor, patient, recipe(part), tmp_path / "out", GUARDS)
    written, expected = state(tmp_path / "out"), in_memory(donor, patient, recipe(part))
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        if recipe(part).edits(name):
            difference = (written[name] - tensor).norm() / tensor.norm()
            assert float(difference) <= 1e-6, name
        else:
            assert torch.equal(written[name], tensor), name


def test_shards_config_and_tokenizer_are_beside_the_edit(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    donor, patient = pairs["qwen2"]
    kept = shutil.copytree(patient, tmp_path / "patient")
    for name in ("tokenizer.json", "vocab.txt"):
        (kept / name).write_text('{"model": {"vocab": {}}}')
    (kept / "pytorch_model.bin").write_bytes(b"")
    operate(donor, kept, recipe("directions"), tmp_path / "out", GUARDS)
    files = {file.name for file in kept.iterdir()} - {"pytorch_model.bin"} | {RECORD}
    assert {file.name for file in (tmp_path / "out").iterdir()} == files
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["recipe"] == {"name": "directions", "part": "directions", "band": BAND}
    assert len(record["matrices"]) == 14
    assert {path.name for path in tmp_path.iterdir()} == {"patient", "out"}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("part", ["values", "directions", "aligned", "low_rank"])
def test_adapter_and_checkpoint_give_the_same_logits(
    pairs: dict[str, tuple[Path, Path]], model: str, part: str, tmp_path: Path
) -> None:
    from peft import PeftModel

    donor, patient = pairs[model]
    edit = recipe(part)
    operate(donor, patient, edit, tmp_path / "full", GUARDS)
    done = operate(donor, patient, edit, tmp_path / "lora", GUARDS, options=LORA)
    assert all(row.rank for row in done.rows)
    tokens = torch.arange(3, 23)[None]
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(patient)
        before = plain(tokens).logits
        full = AutoModelForCausalLM.from_pretrained(tmp_path / "full")(tokens).logits
        adapted = PeftModel.from_pretrained(plain, tmp_path / "lora")(tokens).logits
    assert float((full - before).abs().max()) > 1e-3
    torch.testing.assert_close(adapted, full, rtol=0, atol=1e-4)


def test_an_adapter_of_mllama_names_the_parameters_of_the_loaded_model(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import MllamaForConditionalGeneration

    donor, patient = pairs["mllama"]
    edit = recipe("directions")
    operate(donor, patient, edit, tmp_path / "full", GUARDS)
    operate(donor, patient, edit, tmp_path / "lora", GUARDS, options=LORA)
    full = MllamaForConditionalGeneration.from_pretrained(tmp_path / "full").state_dict()
    plain = MllamaForConditionalGeneration.from_pretrained(patient)
    merged = PeftModel.from_pretrained(plain, tmp_path / "lora").merge_and_unload().state_dict()
    changed = 0
    before = MllamaForConditionalGeneration.from_pretrained(patient).state_dict()
    for name, tensor in full.items():
        torch.testing.assert_close(merged[name], tensor, rtol=0, atol=1e-6)
        changed += not torch.equal(before[name], tensor)
    assert changed == 2 * 7 + 3  # the cross-attention layer has an MLP and no self-attention


@pytest.mark.parametrize("part", ["rollback", "interpolate", "random_norm"])
def test_an_edit_that_is_not_of_low_rank_is_no_adapter(
    pairs: dict[str, tuple[Path, Path]], part: str, tmp_path: Path
) -> None:
    with pytest.raises(NotLowRankError, match="full rank"):
        operate(*pairs["llama"], recipe(part), tmp_path / "out", GUARDS, options=LORA)
    assert not list(tmp_path.iterdir())


def test_an_embedding_is_edited_only_if_named_and_not_by_an_adapter(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    donor, patient = pairs["llama"]
    edit = recipe("values", matrices=("embed", "head"))
    operate(donor, patient, edit, tmp_path / "out", GUARDS)
    written, before = state(tmp_path / "out"), state(patient)
    changed = {name for name in before if not torch.equal(before[name], written[name])}
    assert changed == {"model.embed_tokens.weight", "lm_head.weight"}
    with pytest.raises(NotLowRankError, match="embed_tokens"):
        operate(donor, patient, edit, tmp_path / "lora", GUARDS, options=LORA)


def test_what_bfloat16_loses_of_an_edit_is_measured(tmp_path: Path) -> None:
    model = llama()
    power_law(model, seed=1)
    donor = write(model.bfloat16(), tmp_path / "donor")
    near(model, seed=2)
    patient = write(model, tmp_path / "patient")
    done = operate(donor, patient, recipe("directions"), tmp_path / "out", GUARDS)
    written, before = state(tmp_path / "out"), state(patient)
    row = done.rows[0]
    assert written[row.matrix].dtype == torch.bfloat16
    exact = in_memory(donor, patient, recipe("directions"))
    assert torch.equal(written[row.matrix], exact[row.matrix])
    moved = float((written[row.matrix].double() - before[row.matrix].double()).norm())
    assert moved == pytest.approx(row.edit_norm, rel=3 * row.cast_error)
    assert 1e-3 < done.cast_error < 0.2


def test_spectra_of_stored_factors_are_those_of_factors_made_on_the_way(tmp_path: Path) -> None:
    donor, patient = pair(llama(), tmp_path)
    for side in (donor, patient):
        save_factors(side / "factors", {
            name: factorise(tensor) for name, tensor in state(side).items()
            if name.endswith("_proj.weight")
        })  # fmt: skip
    read = tmp_path / "read.parquet"
    spectra.compare(
        donor=donor,
        patient=patient,
        donor_factors=donor / "factors",
        patient_factors=patient / "factors",
        out=read,
    )
    streamed = tmp_path / "streamed.parquet"
    compare(donor, patient, streamed, spectra.FRACTIONS, null_seed=spectra.NULL_SEED)
    pd.testing.assert_frame_equal(pd.read_parquet(streamed), pd.read_parquet(read))


def test_an_interpolation_can_be_matched_in_norm(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    donor, patient = pairs["qwen2"]
    wanted = recipe("directions")
    edit = Recipe(name="equal", part="interpolate", match="norm:directions")
    own = operate(donor, patient, edit, tmp_path / "equal", GUARDS, matched=wanted)
    other = operate(donor, patient, wanted, tmp_path / "wanted", GUARDS)
    assert own.amount is not None
    assert own.edit_norm == pytest.approx(other.edit_norm, rel=1e-5)


def test_a_cache_of_factors_serves_the_next_recipe(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    donor, patient = pairs["llama"]
    cache = tmp_path / "factors"
    operate(
        donor, patient, recipe("values"), tmp_path / "first", GUARDS, options=Options(cache=cache)
    )
    assert len(list(cache.iterdir())) == 2 * 14
    monkeypatch.setattr("derotate.spectral.factor_cache.factorise_streamed", pytest.fail)
    operate(
        donor,
        patient,
        recipe("directions"),
        tmp_path / "second",
        GUARDS,
        options=Options(cache=cache),
    )


def test_a_matrix_that_was_initialised_again_is_refused(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    donor, patient = pairs["llama"]
    spoiled = shutil.copytree(patient, tmp_path / "spoiled")
    name = "model.layers.1.mlp.gate_proj.weight"
    file = open_shards(spoiled).places[name].file
    tensors = load_file(file)
    tensors[name] = torch.nn.init.normal_(tensors[name].clone(), std=0.02)
    save_file(tensors, file)
    with pytest.raises(GuardError, match=name):
        operate(donor, spoiled, recipe("values"), tmp_path / "out", GUARDS)
    # a reference tells as well, and without it the spectrum does
    with pytest.raises(GuardError, match=f"{name} has the spectrum of random weights"):
        operate(spoiled, spoiled, recipe("values"), tmp_path / "out", GUARDS)
    assert [path.name for path in tmp_path.iterdir()] == ["spoiled"]


def test_an_edit_that_overflows_the_stored_type_is_refused(tmp_path: Path) -> None:
    model = llama()
    power_law(model, seed=1)
    with torch.no_grad():
        # the patient's largest entry is 65000; the donor's leading value is 40 % larger
        for parameter in model.parameters():
            parameter *= 65000 / parameter.abs().max()
    patient = write(model.half(), tmp_path / "patient")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                u, s, vh = torch.linalg.svd(parameter.float(), full_matrices=False)
                top = torch.outer(u[:, 0], vh[0]) * s[0] * 0.4
                parameter.copy_((parameter.float() + top).clamp(-65000, 65000))
    donor = write(model, tmp_path / "donor")
    with pytest.raises(CheckpointError, match="is too large for F16"):
        operate(donor, patient, recipe("values"), tmp_path / "out", GUARDS)
    assert {path.name for path in tmp_path.iterdir()} == {"donor", "patient"}


def test_a_directory_that_exists_is_not_overwritten(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(CheckpointError, match="exists"):
        operate(*pairs["llama"], recipe("values"), tmp_path, GUARDS)
    assert (tmp_path / "mine").read_text() == "kept"


def config(folder: Path) -> Path:
    """A config file with thresholds that tiny matrices reach."""
    file = folder / "config.yaml"
    file.write_text("guards: {marchenko_pastur_distance: 0.05}\n")
    return file


def test_operate_from_the_command_line(pairs: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    donor, patient = map(str, pairs["llama"])
    options = ["--out", str(tmp_path / "out"), "--configfile", str(config(tmp_path))]
    command = ["operate", donor, patient, "--recipe"]
    done = CliRunner().invoke(app, [*command, "low-rank-16", *options, "--format", "lora"])
    assert done.exit_code == 2
    assert "expected below" in done.stderr and done.stderr.count("\n") == 1
    done = CliRunner().invoke(app, [*command, "values-top20", *options])
    assert done.exit_code == 0, done.output
    assert "values-top20: 14 matrices" in done.stdout
    done = CliRunner().invoke(app, [*command, "no-such", *options])
    assert done.exit_code == 2
    assert "--recipe: got no-such, expected one of values-top20" in done.stderr


def test_check_from_the_command_line(pairs: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    donor, patient = map(str, pairs["qwen2"])
    options = ["--reference", donor, "--configfile", str(config(tmp_path))]
    out = tmp_path / "guards.csv"
    done = CliRunner().invoke(app, ["check", patient, *options, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith(f"{patient}: 14 matrices, passes\n")
    assert len(out.read_text().splitlines()) == 15
    random = write(qwen2(), tmp_path / "random")
    done = CliRunner().invoke(app, ["check", str(random), *options[2:]])
    assert done.exit_code == 2
    assert "has the spectrum of random weights" in done.stderr
    assert "(and 13 more of 14 matrices)" in done.stderr
    assert done.stdout.endswith("refused\n")
    other = qwen2()
    power_law(other, seed=5)
    done = CliRunner().invoke(app, ["check", str(write(other, tmp_path / "other")), *options])
    assert done.exit_code == 2
    assert "differs from the reference by" in done.stderr


def test_check_refuses_a_broken_checkpoint_in_one_line(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    broken = shutil.copytree(pairs["qwen2"][1], tmp_path / "broken")
    sorted(broken.glob("*.safetensors"))[0].unlink()
    done = CliRunner().invoke(app, ["check", str(broken)])
    assert done.exit_code == 2
    assert "is missing" in done.stderr and done.stderr.count("\n") == 1

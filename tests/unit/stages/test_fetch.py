# SPDX-License-Identifier: MIT
"""A pretrained model becomes one checkpoint, or nothing is written and one line says why."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import model_zoo
import pytest
import torch
from safetensors.torch import load_file

from derotate.config.model import PretrainedModel
from derotate.models.checkpoint import CheckpointError, load
from derotate.models.shards import open_shards
from derotate.models.tiny import tiny_tokenizer
from derotate.stages.fetch import FetchError, fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WORDS = tuple(f"w{number}" for number in range(46))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sharded model in bfloat16 with its tokenizer, as the hub has them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("fetch") / "model"
    model = model_zoo.qwen2(tied=True)
    model_zoo.power_law(model, seed=1)
    model.generation_config.update(repetition_penalty=1.05, do_sample=True, temperature=0.7)
    model_zoo.write(model.to(torch.bfloat16), folder, shard="8KB")
    tiny_tokenizer(WORDS).save_pretrained(folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


@pytest.fixture
def source(made: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(made, tmp_path / "model")


def refusal(source: str, out: Path, revision: str | None = None) -> str:
    """The one line with which a model is refused; nothing is written."""
    with pytest.raises((FetchError, CheckpointError)) as refused:
        fetch(PretrainedModel(pretrained=source, revision=revision), out / "base")
    message = str(refused.value)
    assert "\n" not in message
    assert source in message
    assert not out.exists() or list(out.iterdir()) == []
    return message


def test_shards_become_one_file_with_the_same_numbers(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "base"
    fetch(PretrainedModel(pretrained=str(source)), out)
    merged = load_file(out / "model.safetensors")
    stored = open_shards(source)
    assert merged.keys() == set(stored)
    assert all(torch.equal(merged[name], stored[name]) for name in stored)
    assert not list(out.glob("*.index.json"))
    model, tokenizer = load(out)
    assert model.dtype == torch.bfloat16
    assert tokenizer("w3 w4")["input_ids"] == tiny_tokenizer(WORDS)("w3 w4")["input_ids"]
    assert [path.name for path in out.parent.iterdir()] == ["base"]


def test_a_model_that_can_also_see_keeps_its_names_and_its_class(tmp_path: Path) -> None:
    source, out = tmp_path / "model", tmp_path / "base"
    model_zoo.write(model_zoo.mllama().to(torch.bfloat16), source, shard="20KB")
    tiny_tokenizer(WORDS).save_pretrained(source)
    fetch(PretrainedModel(pretrained=str(source)), out)
    assert set(load_file(out / "model.safetensors")) == set(open_shards(source))
    model, _ = load(out)
    assert type(model).__name__ == "MllamaForConditionalGeneration"
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_the_weights_get_the_type_that_is_asked_for(source: Path, tmp_path: Path) -> None:
    fetch(PretrainedModel(pretrained=str(source), dtype="float32"), tmp_path / "wide")
    wide, stored = load_file(tmp_path / "wide" / "model.safetensors"), open_shards(source)
    assert all(torch.equal(wide[name], stored[name].float()) for name in stored)
    assert json.loads((tmp_path / "wide" / "config.json").read_text())["dtype"] == "float32"
    fetch(PretrainedModel(pretrained=str(tmp_path / "wide")), tmp_path / "narrow")
    narrow = load_file(tmp_path / "narrow" / "model.safetensors")
    assert all(torch.equal(narrow[name], stored[name]) for name in stored)


def test_the_record_names_every_file_that_was_read(source: Path, tmp_path: Path) -> None:
    fetch(PretrainedModel(pretrained=str(source)), tmp_path / "base")
    record = json.loads((tmp_path / "base" / "fetched.json").read_text())
    assert (record["pretrained"], record["revision"]) == (str(source), None)
    told = {entry["name"]: entry["sha256"] for entry in record["files"]}
    assert {path.name for path in source.glob("*.safetensors")} | {"config.json"} <= told.keys()
    for name, digest in told.items():
        assert digest == hashlib.sha256((source / name).read_bytes()).hexdigest()


def test_a_models_own_way_of_sampling_is_left_behind(source: Path, tmp_path: Path) -> None:
    assert "repetition_penalty" in (source / "generation_config.json").read_text()
    fetch(PretrainedModel(pretrained=str(source)), tmp_path / "base")
    kept = json.loads((tmp_path / "base" / "generation_config.json").read_text())
    assert kept.keys() <= {"bos_token_id", "eos_token_id", "pad_token_id"}
    assert kept["eos_token_id"] == 2
    assert load(tmp_path / "base")[0].generation_config.repetition_penalty in (None, 1.0)


def test_a_tokenizer_that_cannot_pad_pads_with_its_end(source: Path, tmp_path: Path) -> None:
    path = source / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["pad_token"]
    assert config["tokenizer_class"] == "TokenizersBackend"
    path.write_text(json.dumps(config))
    fetch(PretrainedModel(pretrained=str(source)), tmp_path / "base")
    tokenizer = load(tmp_path / "base")[1]
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 2


def test_a_missing_shard_is_named(source: Path, tmp_path: Path) -> None:
    shard = min(source.glob("model-*.safetensors"))
    shard.unlink()
    assert f"shard {shard.name} is missing" in refusal(str(source), tmp_path / "out")


def test_pickled_weights_are_not_taken(source: Path, tmp_path: Path) -> None:
    for file in source.glob("model*"):
        file.unlink()
    torch.save({}, source / "pytorch_model.bin")
    assert "pickled weights only" in refusal(str(source), tmp_path / "out")


def test_a_config_of_another_model_is_refused_by_the_weights_it_would_lack(
    source: Path, tmp_path: Path
) -> None:
    path = source / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 3,
                                                                "layer_types": None}))  # fmt: skip
    message = refusal(str(source), tmp_path / "out")
    assert "model.layers.2" in message
    assert "would be left at random weights" in message


def test_quantised_weights_are_refused(source: Path, tmp_path: Path) -> None:
    path = source / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": {}}))
    assert "quantised" in refusal(str(source), tmp_path / "out")


def test_a_model_without_tokenizer_is_refused(source: Path, tmp_path: Path) -> None:
    for file in source.glob("tokenizer*"):
        file.unlink()
    assert "cannot read the tokenizer" in refusal(str(source), tmp_path / "out")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "correct the path" in refusal("./no/such/folder", tmp_path / "out")


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does to what it does not give; the name of the repository says why not."""

    def do_GET(self) -> None:
        """Tell the client in the hub's own headers."""
        reason, code = {
            "gated": ("GatedRepo", 403),
            "moved": ("RevisionNotFound", 404),
        }.get(next((word for word in ("gated", "moved") if word in self.path), ""),
              ("RepoNotFound", 404))  # fmt: skip
        self.send_response(code)
        self.send_header("X-Error-Code", reason)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A server in the hub's place, and an empty cache."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    use_hub(monkeypatch, server.server_address[1], tmp_path)
    yield server
    server.shutdown()
    server.server_close()


def use_hub(monkeypatch: pytest.MonkeyPatch, port: int, folder: Path) -> None:
    """Point the client to a port of this machine; it reads its variables once, when imported."""
    for name, value in (("ENDPOINT", f"http://127.0.0.1:{port}"), ("HF_HUB_OFFLINE", False),
                        ("HF_HUB_CACHE", str(folder / "cache"))):  # fmt: skip
        monkeypatch.setattr(huggingface_hub.constants, name, value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("someone/gated", ("is gated", "accept its licence", "HF_TOKEN")),
        ("someone/moved", (f"has no commit {COMMIT}", "model.revision")),
        ("someone/nothing", ("is not on the hub, or is private", "HF_TOKEN")),
    ],
)
@pytest.mark.usefixtures("hub")
def test_what_the_hub_refuses_is_one_line(
    name: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    message = refusal(name, tmp_path / "out", COMMIT)
    for word in words:
        assert word in message


@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_that_cannot_be_reached_is_one_line(
    offline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    use_hub(monkeypatch, port, tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    message = refusal("someone/model", tmp_path / "out", COMMIT)
    assert "is not in the cache, and the hub cannot be reached" in message
    assert "set the key to its folder" in message


def test_what_is_in_the_cache_is_used_offline(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hub(monkeypatch, 1, tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    snapshot = tmp_path / "cache" / "models--someone--model" / "snapshots" / COMMIT
    shutil.copytree(made, snapshot)
    fetch(PretrainedModel(pretrained="someone/model", revision=COMMIT), tmp_path / "base")
    record = json.loads((tmp_path / "base" / "fetched.json").read_text())
    assert record["revision"] == COMMIT
    load(tmp_path / "base")


@pytest.mark.parametrize(("online", "offline"), [(True, None), (False, "1")])
def test_only_the_job_that_fetches_may_ask_the_hub(
    online: bool, offline: str | None, tmp_path: Path
) -> None:
    job = (
        "import os, pathlib; from derotate.runs import job_setup as runtime; "
        f"runtime.start({str(tmp_path / 'log')!r}, online={online}); "
        f"pathlib.Path({str(tmp_path / 'said')!r}).write_text(repr(os.getenv('HF_HUB_OFFLINE')))"
    )
    given = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    subprocess.run([sys.executable, "-c", job], env=given, check=True)
    assert (tmp_path / "said").read_text() == repr(offline)

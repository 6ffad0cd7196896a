# SPDX-License-Identifier: MIT
"""What is known of vLLM without vLLM: its refusal, and the model as it is exported for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_zoo
import pytest
import torch
from model_zoo import llama, mllama, power_law, qwen2
from transformers import AutoModelForCausalLM

from derotate.config.rl import Grpo, Ppo
from derotate.config.schema import ConfigError, load
from derotate.evaluation.engines import MissingEngineError, require
from derotate.evaluation.engines.vllm import exported
from derotate.models.mllama import text_part
from derotate.models.tiny import tiny_tokenizer
from derotate.stages.rl import TaskEnvironment, train
from derotate.training.rl_job import RlJob
from derotate.training.vllm_rollouts import RolloutError, require_supported

TEXT = torch.tensor([[1, 5, 9, 13, 48, 2], [1, 7, 7, 30, 4, 11]])
WORDS = tuple(f"w{number}" for number in range(46))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, this test's alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_an_engine_that_is_not_installed_is_refused_by_its_key_in_one_line() -> None:
    require("evaluation.engine", "transformers")
    with pytest.raises(MissingEngineError, match=r"^some\.key: got absent, .*pip install") as e:
        require("some.key", "absent")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("block", "key"), [("evaluation", "engine"), ("grpo", "rollouts"), ("ppo", "rollouts")]
)
def test_a_temperature_that_vllm_does_not_take_is_refused(block: str, key: str) -> None:
    def config(temperature: float) -> dict[str, Any]:
        settings = {block: {key: "vllm", "temperature": temperature}}
        return settings if block == "evaluation" else {"rl": settings}

    with pytest.raises(ConfigError, match=rf"{block}.*temperature: got 2\.5, .*set {key} to"):
        load(config(2.5))
    load(config(2.0))


def test_rollouts_by_vllm_of_an_mllama_are_refused_by_their_key() -> None:
    require_supported(qwen2(), "rl.ppo.rollouts")
    with pytest.raises(RolloutError, match=r"^rl\.ppo\.rollouts: got vllm .*mllama.*change") as e:
        require_supported(mllama(), "rl.ppo.rollouts")
    assert "\n" not in str(e.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(("algorithm", "settings"), [("grpo", Grpo), ("ppo", Ppo)])
def test_rollouts_by_vllm_without_a_gpu_are_refused_and_leave_nothing(
    algorithm: str, settings: Any, tmp_path: Path
) -> None:
    with pytest.raises(
        RolloutError, match=r"^rl\.(grpo|ppo)\.rollouts: got vllm .*GPU.*change"
    ) as e:
        train(
            algorithm,
            RlJob(
                environment=TaskEnvironment("general_points", "compact", tmp_path / "problems"),
                start=tmp_path / "start",
                checkpoints={},
                log=tmp_path / "log.csv",
                settings=settings(rollouts="vllm"),
                max_new_tokens=4,
                seed=1,
            ),
        )
    assert "\n" not in str(e.value)
    assert list(tmp_path.iterdir()) == []


def test_an_mllama_reads_text_as_the_llama_without_its_cross_attention() -> None:
    model = mllama().eval()
    power_law(model, seed=1)
    text = text_part(model)
    assert text.config.num_hidden_layers == model.config.text_config.num_hidden_layers - 1
    with torch.inference_mode():
        torch.testing.assert_close(text(input_ids=TEXT).logits, model(input_ids=TEXT).logits)


@pytest.mark.parametrize("make", [llama, qwen2])
def test_other_models_are_all_text(make: Callable[[], Any]) -> None:
    model = make()
    assert text_part(model) is model


def test_an_edited_model_is_exported_with_its_edit_and_the_export_is_removed(
    temporary: Path,
) -> None:
    model = mllama().eval()
    with torch.no_grad():
        model.lm_head.weight[3] += 1.0
        expected = model(input_ids=TEXT).logits
    with exported(model, tiny_tokenizer(WORDS)) as directory:
        assert temporary in directory.parents
        loaded = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True).eval()
        with torch.inference_mode():
            torch.testing.assert_close(loaded(input_ids=TEXT).logits, expected)
    assert list(temporary.iterdir()) == []


def test_the_export_is_removed_when_the_evaluation_fails(temporary: Path) -> None:
    with pytest.raises(RuntimeError, match="no room"), exported(qwen2(), tiny_tokenizer(WORDS)):
        assert list(temporary.iterdir()) != []
        raise RuntimeError("no room for the cache")
    assert list(temporary.iterdir()) == []


ENDED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from model_zoo import qwen2
from derotate.evaluation.engines.vllm import exported
from derotate.models.tiny import tiny_tokenizer
with exported(qwen2(), tiny_tokenizer(("w",))) as directory:
    print(sorted(file.name for file in directory.iterdir()), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
def test_the_export_is_removed_when_the_job_is_told_to_end(temporary: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDED, str(Path(model_zoo.__file__).parent)],
        env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True,
    )  # fmt: skip
    assert "model.safetensors" in done.stdout
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert list(temporary.iterdir()) == []

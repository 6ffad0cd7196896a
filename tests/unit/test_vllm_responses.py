# SPDX-License-Identifier: MIT
"""What is known of responses by vLLM without vLLM: its refusal, its inputs, the exported model."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from model_zoo import llama, mllama, power_law, qwen2
from transformers import AutoModelForCausalLM
from trl import GRPOConfig

from derotate.evaluation import Decoding
from derotate.models import tiny_tokenizer
from derotate.vllm_responses import (
    MissingVllmError,
    exported,
    reads_text,
    require,
    rollouts,
    sampling,
)

TEXT = torch.tensor([[1, 5, 9, 13, 48, 2], [1, 7, 7, 30, 4, 11]])


@pytest.mark.skipif(find_spec("vllm") is not None, reason="it is about a machine without vLLM")
def test_without_vllm_the_key_is_refused_in_one_line() -> None:
    with pytest.raises(
        MissingVllmError, match=r"^evaluation\.engine: got vllm, .*pip install"
    ) as e:
        require("evaluation.engine")
    assert "\n" not in str(e.value)


def test_samples_come_from_the_whole_distribution_and_greedy_ones_from_its_peak() -> None:
    drawn = sampling(Decoding(max_new_tokens=7, batch_size=2, temperature=0.5), seed=3)
    assert drawn == {"temperature": 0.5, "top_k": 0, "top_p": 1.0, "max_tokens": 7, "seed": 3}
    assert sampling(Decoding(max_new_tokens=7, batch_size=2), seed=3)["temperature"] == 0


def test_trl_knows_every_argument_of_the_rollouts() -> None:
    assert set(rollouts()) <= set(GRPOConfig.__dataclass_fields__)


def test_an_mllama_reads_text_as_the_llama_without_its_cross_attention() -> None:
    model = mllama().eval()
    power_law(model, seed=1)
    text = reads_text(model)
    assert text.config.num_hidden_layers == model.config.text_config.num_hidden_layers - 1
    with torch.inference_mode():
        torch.testing.assert_close(text(input_ids=TEXT).logits, model(input_ids=TEXT).logits)


@pytest.mark.parametrize("make", [llama, qwen2])
def test_other_models_are_exported_as_they_are(make: Callable[[], Any]) -> None:
    model = make()
    assert reads_text(model) is model


def test_an_edited_model_is_exported_with_its_edit_and_the_export_is_removed() -> None:
    model = mllama().eval()
    with torch.no_grad():
        model.lm_head.weight[3] += 1.0
        expected = model(input_ids=TEXT).logits
    with exported(model, tiny_tokenizer(tuple(f"w{n}" for n in range(40)))) as directory:
        loaded = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True).eval()
        with torch.inference_mode():
            torch.testing.assert_close(loaded(input_ids=TEXT).logits, expected)
    assert not directory.exists()

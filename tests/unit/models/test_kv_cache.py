# SPDX-License-Identifier: MIT
"""The growing cache against transformers' own."""

from typing import Any

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, MistralConfig
from transformers.models.mistral import MistralForCausalLM

from derotate.models.kv_cache import BLOCK, GrowingLayer, growing_cache, use_growing_cache

NEW_TOKENS = BLOCK + 9
"""More than one block of room."""


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0, eos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def asked() -> dict[str, Any]:
    """Prompts of two lengths, and draws that depend on the last bit of the scores."""
    ids = torch.randint(1, 50, (3, 6), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    ids[0, :2] = mask[0, :2] = 0
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "max_new_tokens": NEW_TOKENS,
        "do_sample": True,
    }


def drawn(model: Any, asked: dict[str, Any], **cache: Any) -> torch.Tensor:
    torch.manual_seed(2)
    with torch.no_grad():
        return model.generate(**asked, **cache)


def test_the_same_tokens_as_with_the_default_cache(model: Any, asked: dict[str, Any]) -> None:
    default = drawn(model, asked)
    assert default.shape[1] == 6 + NEW_TOKENS
    assert torch.equal(drawn(model, asked, past_key_values=growing_cache(model)), default)
    with use_growing_cache(model):
        assert torch.equal(drawn(model, asked), default)
    assert "generate" not in vars(model)


def test_a_model_with_a_way_of_its_own_to_generate_keeps_it(
    model: Any, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # as a sharded one has, which gathers its weights in it
    default = drawn(model, asked)
    calls: list[None] = []

    def own(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(None)
        return LlamaForCausalLM.generate(model, *args, **kwargs)

    monkeypatch.setattr(model, "generate", own)
    for _ in range(2):
        with use_growing_cache(model):
            assert torch.equal(drawn(model, asked), default)
    assert model.generate is own
    assert len(calls) == 2


def test_keys_and_values_are_kept_over_blocks() -> None:
    layer, held = GrowingLayer(), []
    with torch.inference_mode():
        for step in range(2 * BLOCK + 5):
            held.append(torch.full((2, 3, 1, 4), float(step)))
            keys, values = layer.update(held[-1], -held[-1])
            assert torch.equal(keys, torch.cat(held, dim=2)) and torch.equal(values, -keys)
            assert layer.get_seq_length() == step + 1


def test_tokens_are_written_in_place_while_there_is_room() -> None:
    layer = GrowingLayer()
    one = torch.ones(1, 1, 1, 2)
    with torch.no_grad():
        places = [layer.update(one, one)[0].data_ptr() for _ in range(2 * BLOCK)]
    assert len(set(places)) == 2


def test_after_a_change_from_outside_nothing_old_comes_back() -> None:
    layer, rows = GrowingLayer(), torch.arange(6.0).reshape(2, 1, 3, 1)
    with torch.no_grad():
        layer.update(rows, rows)
        layer.reorder_cache(torch.tensor([1, 0]))
        keys, _ = layer.update(rows[:, :, :1], rows[:, :, :1])
        assert keys[:, 0, :, 0].tolist() == [[3, 4, 5, 0], [0, 1, 2, 3]]
        layer.reset()
        assert layer.get_seq_length() == 0
        assert torch.equal(layer.update(rows, rows)[0], rows)


def test_a_gradient_is_refused() -> None:
    one = torch.ones(1, 1, 1, 2)
    with pytest.raises(RuntimeError, match="under no_grad"):
        GrowingLayer().update(one, one)


def test_sliding_layers_keep_their_own_kind() -> None:
    config = MistralConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, sliding_window=4,
    )  # fmt: skip
    mistral = MistralForCausalLM(config)
    kinds = [type(layer) for layer in growing_cache(mistral).layers]
    assert kinds == [type(layer) for layer in DynamicCache(config=config).layers]
    assert GrowingLayer not in kinds

# SPDX-License-Identifier: MIT
"""Collected states are the model's own, in any batch; divergences are those of known models."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from derotate.config.model import TinyModel
from derotate.diagnostics.collect import collect_states, forward_divergence
from derotate.evaluation.evaluate import Item, reference_losses
from derotate.models.tiny import tiny_model, tiny_tokenizer

WORDS = tuple("abcdefgh")
PROMPTS = ["a b", "a b c d e", "c c c", "h g f e d c b a", "b a"]
ANSWERS = ["a", "c d e", "", "h", "b b"]


@cache
def model_and_tokenizer(seed: int = 0) -> tuple[Any, Any]:
    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer(WORDS)
    config = TinyModel(hidden_size=16, intermediate_size=32, layers=2, heads=2)
    model = tiny_model(config, tokenizer, seed=seed)
    for name, parameter in model.named_parameters():
        # Random weights barely tell tokens apart; and a norm of other weights than one shows
        # whether it was applied once or twice.
        parameter.data *= 20 if parameter.ndim == 2 else 1
        if name == "model.norm.weight":
            parameter.data += torch.linspace(0, 1, 16)
    return model.eval(), tokenizer


def constant_model(logits: list[float]) -> Any:
    """A model whose next token has the same distribution everywhere."""
    model, tokenizer = model_and_tokenizer()
    config = TinyModel(hidden_size=16, intermediate_size=32, layers=1, heads=2)
    model = tiny_model(config, tokenizer, seed=1)
    head = torch.nn.Linear(16, len(tokenizer))
    head.weight.data.zero_()
    head.bias.data = torch.tensor(logits)
    model.set_output_embeddings(head)
    return model.eval()


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_states_are_those_of_each_prompt_alone(batch_size: int) -> None:
    model, tokenizer = model_and_tokenizer()
    found = collect_states(model, tokenizer, PROMPTS, batch_size, positions=2)
    assert found.hidden.shape == (5, 2, 16) and found.log_probs.shape == (5, 2, len(tokenizer))
    for row, prompt in enumerate(PROMPTS):
        with torch.inference_mode():
            alone = model(torch.tensor([tokenizer(prompt)["input_ids"]])).logits[0, -2:]
        np.testing.assert_allclose(found.log_probs[row], alone.log_softmax(-1), atol=1e-4)


def test_the_final_norm_is_applied_once() -> None:
    model, tokenizer = model_and_tokenizer()
    found = collect_states(model, tokenizer, PROMPTS, 5)
    taken: list[torch.Tensor] = []
    handle = model.model.norm.register_forward_hook(lambda *call: taken.append(call[2]))
    collect_states(model, tokenizer, PROMPTS[:1], 1)
    handle.remove()
    (normed,) = taken
    np.testing.assert_allclose(found.hidden[0, 0], normed[0, -1], atol=1e-5)
    logits = torch.from_numpy(found.hidden) @ model.lm_head.weight.T.detach()
    np.testing.assert_allclose(found.log_probs, logits.log_softmax(-1), atol=1e-4)
    twice = model.model.norm(torch.from_numpy(found.hidden)).detach().numpy()
    assert np.abs(twice - found.hidden).max() > 0.1


def test_each_position_has_a_distribution_of_its_own() -> None:
    model, tokenizer = model_and_tokenizer()
    found = collect_states(model, tokenizer, PROMPTS, 2, positions=3)
    np.testing.assert_allclose(np.exp(found.log_probs).sum(-1), 1, rtol=1e-5)
    assert (
        np.abs(np.exp(found.log_probs[:, 0]) - np.exp(found.log_probs[:, 2])).max(-1) > 0.01
    ).all()


def test_the_side_on_which_a_tokenizer_pads_does_not_matter() -> None:
    model, tokenizer = model_and_tokenizer()
    other = tiny_tokenizer(WORDS)
    other.padding_side = "right"
    left, right = (collect_states(model, own, PROMPTS, 5) for own in (tokenizer, other))
    assert np.array_equal(left.hidden, right.hidden)


def test_prompts_shorter_than_the_positions_are_refused() -> None:
    model, tokenizer = model_and_tokenizer()
    with pytest.raises(ValueError, match="expected 1 to 3"):
        collect_states(model, tokenizer, PROMPTS, 2, positions=4)


def test_the_divergence_of_two_known_distributions() -> None:
    _, tokenizer = model_and_tokenizer()
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(len(tokenizer), generator=generator).tolist() for _ in range(2))
    expected = entropy(torch.tensor(first).softmax(0), torch.tensor(second).softmax(0))
    models = constant_model(first), constant_model(second)
    found = forward_divergence(*models, tokenizer, PROMPTS, ANSWERS, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    back = forward_divergence(*models[::-1], tokenizer, PROMPTS, ANSWERS, 2)
    assert np.abs(back - found).min() > 0.01


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_divergence_is_the_mean_over_the_answer_and_the_end_token(batch_size: int) -> None:
    (base, tokenizer), (model, _) = model_and_tokenizer(0), model_and_tokenizer(1)
    found = forward_divergence(base, model, tokenizer, PROMPTS, ANSWERS, batch_size)
    for prompt, answer, divergence in zip(PROMPTS, ANSWERS, found, strict=True):
        asked = tokenizer(prompt)["input_ids"]
        ids = [*asked, *tokenizer(answer, add_special_tokens=False)["input_ids"]]
        with torch.inference_mode():
            before, after = (
                own(torch.tensor([ids])).logits[0, len(asked) - 1 :].softmax(-1).double()
                for own in (base, model)
            )
        assert len(before) == len(answer.split()) + 1
        assert divergence == pytest.approx(entropy(before.T, after.T).mean(), rel=1e-3)


def test_a_model_does_not_diverge_from_itself() -> None:
    model, tokenizer = model_and_tokenizer()
    assert forward_divergence(model, model, tokenizer, PROMPTS, ANSWERS, 2).tolist() == [0.0] * 5


def test_the_answers_of_a_divergence_are_those_whose_loss_is_evaluated() -> None:
    # A base that puts all mass on one token: its divergence is the loss of that token.
    _, tokenizer = model_and_tokenizer()
    logits = [-1e4] * len(tokenizer)
    logits[tokenizer.eos_token_id] = 1e4
    model, _ = model_and_tokenizer()
    found = forward_divergence(constant_model(logits), model, tokenizer, PROMPTS, [""] * 5, 2)
    items = [Item(p, "id", "test", "x", p, "", lambda _: (True, ""), lambda _: "") for p in PROMPTS]
    assert found.tolist() == pytest.approx(reference_losses(model, tokenizer, items, 2), rel=1e-3)

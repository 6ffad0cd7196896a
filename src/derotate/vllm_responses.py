# SPDX-License-Identifier: MIT
"""Responses by vLLM instead of transformers: an optional extra for a machine with a GPU.

vLLM reads weights from a directory, so a variant that lives in memory is written to the folder of
temporary files first (TMPDIR: on a cluster, a disk of the node) and removed after its evaluation.
Losses of reference answers stay with transformers, and so do guards.

vLLM has no engine for Mllama any more (its issue 27198). With text alone such a model passes over
its cross-attention layers, so what is left of it is a Llama, and is written as one.

Nothing here has run on a GPU: neither vLLM nor one is at hand. Tested are the refusal, the sampling
parameters, the export and that the Llama of an Mllama has its logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch

from derotate import checkpoints
from derotate.evaluation import Decoding

PACKAGE: Final = "vllm"
SHARE: Final = 0.85
"""Of a GPU's memory for weights and cache, where nothing else is on it; vLLM's default is 0.9."""
SHARE_BESIDE_TRAINING: Final = 0.3
"""The same beside a model in training; trl's default."""


class MissingVllmError(RuntimeError):
    """vLLM is asked for and not installed: one line with the key and the remedy."""


def require(key: str) -> None:
    """Refuse a setting that needs vLLM where it is not installed.

    Args:
        key: of the config, e.g. `evaluation.engine`.

    Raises:
        MissingVllmError: it is not.
    """
    if find_spec(PACKAGE) is None:
        raise MissingVllmError(
            f"{key}: got vllm, expected transformers, since the package vllm is not installed; "
            "install it on a machine with a GPU (pip install '.[vllm]'), or change the key"
        )


def sampling(decoding: Decoding, seed: int) -> dict[str, Any]:
    """The arguments of vLLM's SamplingParams that draw as `evaluation.respond` does.

    Greedy at temperature 0; else from the whole distribution, neither top_k nor top_p. A seed makes
    the samples of a prompt a function of it, as far as the kernels are deterministic.
    """
    return {
        "temperature": decoding.temperature,
        "top_k": 0,
        "top_p": 1.0,
        "max_tokens": decoding.max_new_tokens,
        "seed": seed,
    }


def rollouts() -> dict[str, Any]:
    """The arguments of trl's GRPOConfig that let vLLM sample, on the GPUs that also train.

    trl hands the weights over after each update and weighs responses by the ratio of the trainer's
    to vLLM's probabilities, which differ in the last digits.
    """
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": SHARE_BESIDE_TRAINING,
        "vllm_enable_sleep_mode": True,
    }


@contextmanager
def exported(model: Any, tokenizer: Any) -> Iterator[Path]:
    """A directory with a model as it is in memory, for as long as the block runs.

    Args:
        model: causal language model; an Mllama is written as the Llama that reads text.
        tokenizer: of the model.
    """
    with TemporaryDirectory(prefix="derotate-") as folder:
        directory = Path(folder)
        checkpoints.save(reads_text(model), tokenizer, directory)
        yield directory


def reads_text(model: Any) -> Any:
    """The part of a model that text alone goes through: of an Mllama a Llama, else the model.

    Layers of cross-attention are left out, and so are the rows of the embedding that stand for
    images, which no text has. Weights are shared with the model, not copied.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = model.config.get_text_config()
    if config.model_type != "mllama_text_model":
        return model
    crossing = set(config.cross_attention_layers)
    kept = [layer for layer in range(config.num_hidden_layers) if layer not in crossing]
    whole = model.state_dict()
    embedding = next(name for name in whole if name.endswith("language_model.embed_tokens.weight"))
    prefix = embedding.removesuffix("embed_tokens.weight")
    state = {
        "model.embed_tokens.weight": whole[embedding][: config.vocab_size],
        "model.norm.weight": whole[f"{prefix}norm.weight"],
        "lm_head.weight": model.get_output_embeddings().weight.detach(),
    }
    for place, layer in enumerate(kept):
        start = f"{prefix}layers.{layer}."
        of_layer = (name for name in whole if name.startswith(start))
        state |= {f"model.layers.{place}.{name[len(start) :]}": whole[name] for name in of_layer}
    with torch.device("meta"):
        llama = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=len(kept),
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                hidden_act=config.hidden_act,
                max_position_embeddings=config.max_position_embeddings,
                rms_norm_eps=config.rms_norm_eps,
                rope_parameters=config.rope_parameters,
                tie_word_embeddings=False,
                pad_token_id=config.pad_token_id,
                bos_token_id=config.bos_token_id,
                eos_token_id=config.eos_token_id,
                dtype=model.dtype,
            )
        )
    llama.load_state_dict(state, assign=True)
    llama.model.rotary_emb = type(llama.model.rotary_emb)(config=llama.config)
    if model.generation_config is not None:
        llama.generation_config = model.generation_config
    return llama.eval()


def start(directory: Path, length: int, seed: int = 0) -> Any:
    """A vLLM engine on one GPU with the model of a checkpoint directory, in bf16.

    Args:
        directory: as `exported` gives it.
        length: tokens of prompt and response, at most.
        seed: of the engine.

    Raises:
        MissingVllmError: vLLM is not installed.
    """
    require("evaluation.engine")
    from vllm import LLM

    return LLM(
        model=str(directory), dtype="bfloat16", max_model_len=length, seed=seed,
        gpu_memory_utilization=SHARE,
    )  # fmt: skip


def respond(
    engine: Any, tokenizer: Any, prompts: Sequence[str], decoding: Decoding, seed: int = 0
) -> list[str]:
    """One response to each prompt, as `evaluation.respond` gives them, special tokens left out.

    Args:
        engine: as `start` gives it.
        tokenizer: of its model.
        prompts: texts, in any order; the result follows it.
        decoding: limits and temperature; the engine chooses its batches itself.
        seed: of the samples.
    """
    from vllm import SamplingParams

    ids = tokenizer(list(prompts))["input_ids"] if prompts else []
    outputs = engine.generate(
        [{"prompt_token_ids": each} for each in ids],
        sampling_params=[
            SamplingParams(**sampling(decoding, seed + place)) for place in range(len(ids))
        ],
        use_tqdm=False,
    )
    return [output.outputs[0].text for output in outputs]

# SPDX-License-Identifier: MIT
"""Responses by vLLM, an optional extra: many times faster on a GPU, with different rounding.

Inputs and outputs are token ids, so prompts, stop tokens and text are those of transformers. Greedy
responses differ only where two tokens are almost equally likely. vLLM reads weights from a
directory, so the model in memory, which may be edited, is saved to a temporary folder (TMPDIR: on a
cluster, a disk of the node). The folder is removed once vLLM has loaded it. Before that the model
leaves the GPU.

The engine runs in this process. vLLM's default is a process of its own. That would run the job's
script a second time, because a process that has used CUDA cannot be forked, and the composition of
batches would depend on timing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final

import torch

from derotate.evaluation.engines import require
from derotate.evaluation.evaluate import Decoding, Responder, draw_seed
from derotate.models import checkpoint as checkpoints
from derotate.models.chat import Prompt, prompt_ids, stop_ids
from derotate.models.mllama import text_part

SHARE: Final = 0.85
"""Share of the GPU's memory for weights and KV cache. vLLM's default is 0.92, but this process also
has memory on the GPU, from computing losses."""
PREFIX: Final = "derotate-"
"""Prefix of the temporary folder."""
AS_LONG_AS_FITS: Final = -1
"""vLLM's value for the model's context length, or as much of it as the KV cache has room for."""


@contextmanager
def responding(model: Any, tokenizer: Any) -> Iterator[Responder]:
    """A responder for a model in memory; the GPU belongs to the engine meanwhile.

    Args:
        model: causal language model; it is in CPU memory afterwards.
        tokenizer: its tokenizer.

    Raises:
        MissingEngineError: vLLM is not installed.
    """
    require("evaluation.engine", "vllm")
    # Before the import, which may read it.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    from vllm import LLM
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    # The engine needs the memory; losses are computed already.
    model.to("cpu")
    torch.cuda.empty_cache()
    with exported(model, tokenizer) as directory:
        engine = LLM(
            model=str(directory),
            skip_tokenizer_init=True,
            dtype=str(model.dtype).removeprefix("torch."),
            max_model_len=AS_LONG_AS_FITS,
            gpu_memory_utilization=SHARE,
            seed=0,
        )
    try:
        yield partial(_respond, engine, tokenizer, stop_ids(model, tokenizer))
    finally:
        engine.llm_engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()


@contextmanager
def exported(model: Any, tokenizer: Any) -> Iterator[Path]:
    """A temporary directory with a model in memory; removed at the end of the block.

    It is also removed when the block fails and when the job is terminated (SIGTERM).

    Args:
        model: causal language model; of a vision-language model, the text part is saved.
        tokenizer: of the model.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    # SIGTERM ends Python without `finally`, so the folder would stay on the node's disk.
    before = signal.signal(signal.SIGTERM, end)
    try:
        with TemporaryDirectory(prefix=PREFIX) as folder:
            checkpoints.save(text_part(model), tokenizer, Path(folder))
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, before)


def sampling(decoding: Decoding, stops: list[int], seed: int) -> dict[str, Any]:
    """Arguments of vLLM's SamplingParams that sample as `evaluation.respond` does.

    Greedy at temperature 0; else from the whole distribution, without top_k and top_p. With a seed
    the samples of a prompt are reproducible, as far as the kernels are deterministic.
    """
    return {
        "temperature": decoding.temperature,
        "top_k": 0,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "max_tokens": decoding.max_new_tokens,
        "stop_token_ids": stops,
        "seed": seed,
        "detokenize": False,
    }


def _respond(
    engine: Any,
    tokenizer: Any,
    stops: list[int],
    prompts: Sequence[Prompt],
    decoding: Decoding,
    seed: int = 0,
) -> list[str]:
    """As `evaluation.respond`; the engine chooses its batches itself."""
    from vllm import SamplingParams

    outputs = engine.generate(
        [{"prompt_token_ids": ids} for ids in prompt_ids(tokenizer, prompts)],
        sampling_params=[
            SamplingParams(**sampling(decoding, stops, draw_seed(seed, place)))
            for place in range(len(prompts))
        ],
        use_tqdm=False,
    )
    tokens = [list(output.outputs[0].token_ids) for output in outputs]
    return list(tokenizer.batch_decode(tokens, skip_special_tokens=True))

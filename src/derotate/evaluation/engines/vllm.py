# SPDX-License-Identifier: MIT
"""Responses by vLLM, an optional extra: many times as fast on a GPU, with other rounding.

Token ids go in and come out, so prompts, end of the turn and text are those of transformers; greedy
answers differ where two tokens are all but equally likely. vLLM reads weights from a directory, so
the model that is in memory, an edited one too, is written to the folder of temporary files (TMPDIR:
on a cluster, a disk of the node), which is empty again once vLLM has loaded it. The model itself
leaves the GPU before that.

The engine runs in this process. In one of its own, which is vLLM's default, the job's script would
be run a second time there, since a process that has used CUDA cannot be forked; and what vLLM puts
into one batch would depend on the time.
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
"""Of the GPU's memory for weights and cache, where vLLM's own default is 0.92: what this process
has loaded to compute losses is on it too."""
PREFIX: Final = "derotate-"
"""By which the folder of an export is told."""
AS_LONG_AS_FITS: Final = -1
"""vLLM's word for the model's own context, or as much of it as the cache has room for."""


@contextmanager
def responding(model: Any, tokenizer: Any) -> Iterator[Responder]:
    """What responds with this model; a GPU is the engine's alone meanwhile.

    Args:
        model: causal language model; it is in main memory afterwards.
        tokenizer: its tokenizer.

    Raises:
        MissingEngineError: vLLM is not installed.
    """
    require("evaluation.engine", "vllm")
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # before the import, which may read it
    from vllm import LLM
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

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
    """A directory with a model as it is in memory, for as long as the block runs.

    It is removed when the block fails, too, and when the job is told to end (SIGTERM).

    Args:
        model: causal language model; of one that can also see, the part that reads text.
        tokenizer: of the model.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with TemporaryDirectory(prefix=PREFIX) as folder:
            checkpoints.save(text_part(model), tokenizer, Path(folder))
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, before)


def sampling(decoding: Decoding, stops: list[int], seed: int) -> dict[str, Any]:
    """The arguments of vLLM's SamplingParams that draw as `evaluation.respond` does.

    Greedy at temperature 0; else from the whole distribution, neither top_k nor top_p. A seed makes
    the samples of a prompt a function of it, as far as the kernels are deterministic.
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

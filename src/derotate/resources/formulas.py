# SPDX-License-Identifier: MIT
"""Resource requests of a job: memory, time and disk, from the size of the model and the work.

A cluster kills a job that exceeds its request, and a request that is too large waits longer. So
each rule requests the amounts computed here, and each further attempt adds the same again. Memory
is the peak of a stage (weights, gradients, optimizer, activations, caches) plus its imports. Time
is the FLOPs of the model divided by a rate that is slow for the hardware. Measurements on tiny
models are given with the constants; a test compares the peaks.

A change of resources does not rerun a job: Snakemake does not compare them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MB: Final = 10**6

SNAKEMAKE_MB: Final = 500
"""A cluster job runs Snakemake itself, twice nested, beside its script: 371 MB were measured."""
HEADROOM: Final = 1.25
"""Over what is counted: fragmentation of the allocator, and peaks between two samples."""
GRAIN_MB: Final = 100
"""Memory is requested in such steps, so that a formula's last digits do not show."""

TORCH_MB: Final = 550
"""A process that has imported torch, transformers, trl and datasets: 514 MB in the smoke study."""
DECOMPOSITION_MB: Final = 400
"""A process that has imported torch, and what of transformers names parameters: 370 MB."""

FLOAT64: Final = 8
FLOAT32: Final = 4
BFLOAT16: Final = 2
MATRIX_COPIES: Final = 6
"""Of the largest matrix in float64 when the spectra of a pair are compared: factors of both sides,
the change, and what a decomposition takes. Surgery and decompositions alone hold three or four."""
STATE_BYTES: Final = 16
"""A trained parameter, its gradient and AdamW's two moments: in float32 4 + 4 + 8 bytes, in bf16
2 + 2 + 12, moments and master copy being float32 (Rajbhandari et al. 2020, section 3.1)."""
ACTIVATION_BYTES: Final = 136
"""Kept for the backward pass for each token, layer and unit of width. 34 bytes in 16 bits
(Korthikanti et al. 2023, equation 2, without the attention matrix), so 68 in float32; twice that,
since the gradients pass through as many: tiny SFT took 275 MB, the base 560 MB."""

TRAINING_FLOP: Final = 6
"""For a parameter and token: two forward, four backward (Kaplan et al. 2020, section 2.1)."""
FORWARD_FLOP: Final = 2
CPU_RATE: Final = 1e10
"""FLOP a second and thread: a quarter of what SFT of the tiny model reached on an idle core."""
GPU_RATE: Final = 5e13
"""FLOP a second: a sixth of the dense bf16 peak of an A100; no run of ours has measured it."""
GPU_DECODING_RATE: Final = 5e12
"""FLOP a second of generation, a tenth of that: each token reads all weights and the cache anew, so
memory bounds it. 2e12 bytes a second are 2e12 FLOP for each sequence of a batch in bf16; of a batch
of 64 that is much less than half here. No run of ours has measured it."""
START_MINUTES: Final = 10
"""For imports from a shared file system, loading and saving; short jobs take no more."""


@dataclass(frozen=True)
class Size:
    """The properties of a model that resources depend on.

    Attributes:
        parameters: their number.
        width: of the residual stream, in units.
        layers: decoder layers.
        bytes_each: of a weight on disk and as it is loaded.
    """

    parameters: int
    width: int
    layers: int
    bytes_each: int = FLOAT32

    @property
    def largest_matrix(self) -> float:
        """Upper bound on entries of the largest projection matrix; a layer has two of that size."""
        return self.parameters / (2 * self.layers)


@dataclass(frozen=True)
class Devices:
    """The devices of a training.

    Attributes:
        threads: CPU threads of a process.
        gpu: whether each process trains on one.
        processes: over which weights, gradients and optimizer are sharded.
    """

    threads: int
    gpu: bool
    processes: int = 1


@dataclass(frozen=True)
class Need:
    """Resources of the first attempt of a job, without Snakemake itself.

    Attributes:
        memory: bytes.
        seconds: of the model's arithmetic.
        disk: bytes that it writes.
    """

    memory: float
    seconds: float = 0.0
    disk: float = 10 * MB


def mem_mb(need: Need, attempt: int = 1) -> int:
    """Megabytes to request: Snakemake's own, plus the job's memory times the attempt."""
    megabytes = SNAKEMAKE_MB + HEADROOM * need.memory / MB * attempt
    return GRAIN_MB * math.ceil(megabytes / GRAIN_MB)


def minutes(need: Need, attempt: int = 1) -> int:
    """Minutes to request, longer with each attempt."""
    return math.ceil((START_MINUTES + need.seconds / 60) * attempt)


def disk_mb(need: Need) -> int:
    """Megabytes that a job writes, rounded up."""
    return math.ceil(need.disk / MB)


def training(
    size: Size,
    *,
    tokens_at_once: int,
    tokens: float,
    devices: Devices,
    checkpoints: int,
    recomputes: bool = False,
) -> Need:
    """Full fine-tuning with AdamW.

    A GPU holds the activations. The state is requested in main memory all the same, since weights
    are loaded, and weights and optimizer saved, by way of it. Processes share one state: the first
    loads the full model and shards it, before there are gradients and an optimizer.

    Args:
        size: the trained model.
        tokens_at_once: in all processes together.
        tokens: of the whole training.
        devices: that it runs on.
        checkpoints: how many are written; the newest training state is written beside them.
        recomputes: whether the backward pass repeats the forward pass.
    """
    activations = 0 if devices.gpu else ACTIVATION_BYTES * tokens_at_once * size.layers * size.width
    rate = (GPU_RATE if devices.gpu else CPU_RATE * devices.threads) * devices.processes
    flop = TRAINING_FLOP + (FORWARD_FLOP if recomputes else 0)
    saved = size.bytes_each * checkpoints + STATE_BYTES
    return Need(
        memory=TORCH_MB * MB * devices.processes + STATE_BYTES * size.parameters + activations,
        seconds=flop * size.parameters * tokens / rate,
        disk=10 * MB + saved * size.parameters,
    )


def decoding(
    size: Size,
    *,
    tokens_at_once: int,
    read: float,
    written: float,
    threads: int,
    models: int,
    gpu: bool = False,
) -> Need:
    """Generation with a key-value cache.

    Args:
        size: the model.
        tokens_at_once: of the sequences that are generated side by side.
        read: tokens of all prompts, which go through the model together.
        written: tokens of all answers, at most, one after another.
        threads: CPU threads.
        models: copies of the weights in memory.
        gpu: whether a GPU generates; it then holds the cache.
    """
    cache = 0 if gpu else 2 * size.layers * size.width * tokens_at_once * size.bytes_each
    reading, writing = (GPU_RATE, GPU_DECODING_RATE) if gpu else 2 * (CPU_RATE * threads,)
    return Need(
        memory=TORCH_MB * MB + models * size.bytes_each * size.parameters + 2 * cache,
        seconds=FORWARD_FLOP * size.parameters * (read / reading + written / writing),
    )


def decomposition(size: Size, *, checkpoints: int, threads: int, bytes_each: int = FLOAT32) -> Need:
    """Singular value decompositions of the matrices of some checkpoints, or work on their factors.

    A thin SVD of m x n, m >= n, takes about 6mn^2 + 20n^3 operations (Golub and Van Loan 2013,
    figure 8.6.1), so at most 26 times the width for a parameter. Its factors have at most twice as
    many numbers as the matrix. Matrices are worked on one at a time, whatever their number.

    Args:
        size: the model.
        checkpoints: how many are gone through.
        threads: CPU threads.
        bytes_each: of a number of the factors on disk.
    """
    return Need(
        memory=DECOMPOSITION_MB * MB + MATRIX_COPIES * FLOAT64 * size.largest_matrix,
        seconds=26 * size.width * size.parameters * checkpoints / (CPU_RATE * threads),
        disk=10 * MB + 2 * bytes_each * size.parameters,
    )

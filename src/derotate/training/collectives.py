# SPDX-License-Identifier: MIT
"""Collective operations between the processes of a training, for code outside a library's trainer.

Every function also works in a single process, where it changes nothing. Each forward pass of a
sharded model gathers weights from all processes and waits forever for one that does not take part.
So work is always split such that every process makes the same number of passes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import torch
import torch.distributed
from torch import Tensor

from derotate.files.scratch import scratch, scratch_folder
from derotate.models.device import fastest

T = TypeVar("T")

TIMEOUT: Final = timedelta(minutes=30)
"""How long a process waits for the others, e.g. while the main process writes a checkpoint. This is
the default of transformers' trainers; torch's own for GPUs is 10 minutes."""


def init_distributed(processes: int) -> torch.device:
    """Join the process group of this job and return the device that this process computes on.

    Args:
        processes: of the job, started by `launch`.
    """
    device = fastest()
    if processes == 1:
        return device
    backend = "gloo"
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        # CUDA tensors go through NCCL; objects and CPU tensors still need gloo
        backend = "cpu:gloo,cuda:nccl"
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(backend, timeout=TIMEOUT)
    return device


def world_size() -> int:
    """Number of processes."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def rank() -> int:
    """Index of this process, from 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this is process 0, which writes logs and checkpoints; true in a single process.

    Read from the launcher's environment, so it holds before the process group exists.
    """
    return int(os.environ.get("RANK", "0")) == 0


def barrier() -> None:
    """Wait until every process has arrived here."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


@contextmanager
def shared_scratch(target: Path) -> Iterator[Path]:
    """The scratch folder beside a file, created and removed by the main process."""
    if is_main_process():
        with scratch(target) as folder:
            yield folder
    else:
        yield scratch_folder(target)


def local_slice(total: int) -> slice:
    """The part of `total` items that this process works on; sizes differ by at most one."""
    return slice(total * rank() // world_size(), total * (rank() + 1) // world_size())


def local_micro_batches(rows: Tensor, micro_batch_size: int) -> list[Tensor]:
    """Micro-batches of this process's slice of the rows.

    Every process gets the same number of micro-batches, so the last may be empty. The forward pass
    must be made for an empty one too.

    Args:
        rows: row indices, the same in all processes, (rows,).
        micro_batch_size: rows of one forward pass.
    """
    largest_slice = -(-len(rows) // world_size())
    passes = -(-largest_slice // micro_batch_size)
    local = rows[local_slice(len(rows))]
    micro_batches = list(local.split(micro_batch_size))
    return micro_batches + [local[:0]] * (passes - len(micro_batches))


def all_gather_rows(local: Tensor, total: int) -> Tensor:
    """Concatenate the rows of all processes.

    Args:
        local: rows of this process's `local_slice`, (local rows, ...).
        total: rows of all processes together.

    Returns:
        (total, ...), the same in all processes.
    """
    if world_size() == 1:
        return local
    rows = local.new_zeros((total, *local.shape[1:]))
    rows[local_slice(total)] = local
    # slices differ in length, which all_gather_into_tensor refuses; a sum with zeros is exact
    torch.distributed.all_reduce(rows)
    return rows


def all_gather_objects(local: Sequence[T]) -> list[T]:
    """Concatenate the lists of all processes, in the order of their ranks."""
    if world_size() == 1:
        return list(local)
    parts: list[Sequence[T]] = [()] * world_size()
    torch.distributed.all_gather_object(parts, local)
    return [item for part in parts for item in part]


def all_reduce_sum(values: Tensor) -> Tensor:
    """Elementwise sum over the processes, in place."""
    if world_size() > 1:
        torch.distributed.all_reduce(values)
    return values

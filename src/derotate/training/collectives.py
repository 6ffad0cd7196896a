# SPDX-License-Identifier: MIT
"""What the processes of a training share out and tell each other, where no library's trainer does.

All of it holds for one process, too, whose share is the whole and who is told nothing. Work is
dealt so that every process takes as many passes through the model: each pass gathers weights from
all of them, and waits for ever for one that does not take part.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, TypeVar

import torch
import torch.distributed
from torch import Tensor

from derotate.models.device import fastest

Thing = TypeVar("Thing")

PATIENCE: Final = timedelta(minutes=30)
"""How long a process waits for the others, while the first writes a checkpoint: as long as in the
trainers of transformers, and longer than torch's 10 minutes for GPUs."""


def join(processes: int) -> torch.device:
    """Make this one of the processes, which `launch` started; the device that it computes on."""
    device = fastest()
    if processes == 1:
        return device
    # what is on a GPU goes from GPU to GPU, all else by the CPU
    backend = "gloo"
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(backend, timeout=PATIENCE)
    return device


def count() -> int:
    """How many processes there are."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, counted from 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def share(total: int) -> slice:
    """The part of so many things that is this process's; parts differ by one thing at most."""
    return slice(total * rank() // count(), total * (rank() + 1) // count())


def share_in_pieces(rows: Tensor, at_once: int) -> list[Tensor]:
    """This process's share of the rows, in pieces of at most `at_once`.

    Every process gets as many pieces. So the last may be empty, and a pass is taken all the same.

    Args:
        rows: indices, the same in all processes, (rows,).
        at_once: rows that one pass through the model takes.
    """
    largest_share = -(-len(rows) // count())
    passes = -(-largest_share // at_once)
    own = rows[share(len(rows))]
    pieces = list(own.split(at_once))
    return pieces + [own[:0]] * (passes - len(pieces))


def all_rows(own: Tensor, total: int) -> Tensor:
    """The rows of all processes, put together from the share that each has.

    Args:
        own: (rows of this process's `share`, ...).
        total: rows of all.

    Returns:
        (total, ...), the same in all processes.
    """
    if count() == 1:
        return own
    rows = own.new_zeros((total, *own.shape[1:]))
    rows[share(total)] = own
    # a row is a number beside zeros: the sum is exact
    torch.distributed.all_reduce(rows)
    return rows


def everyones(own: Sequence[Thing]) -> list[Thing]:
    """The things that all processes have, in the order of the processes."""
    if count() == 1:
        return list(own)
    parts: list[Sequence[Thing]] = [()] * count()
    torch.distributed.all_gather_object(parts, own)
    return [thing for part in parts for thing in part]


def summed(values: Tensor) -> Tensor:
    """The sum over the processes, elementwise."""
    if count() > 1:
        torch.distributed.all_reduce(values)
    return values

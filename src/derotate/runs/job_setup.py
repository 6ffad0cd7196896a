# SPDX-License-Identifier: MIT
"""Set-up of every job: output goes to its log, thread counts come from the config.

The number of threads changes the order of floating-point sums. It is therefore a setting of the
study, independent of `--cores` and SLURM, and MKL and OpenMP must not adapt it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""Parameters of glibc's `mallopt`."""
KEPT_BYTES: Final = 1 << 30
COLLECT_AFTER: Final = 100_000
"""Allocations between two garbage collections. With Python's 700, collection takes a fifth of the
import time of torch and transformers."""


def start(log: str, threads: int = 1, *, online: bool = False) -> None:
    """Send standard output, standard error and tracebacks to `log`; fix the thread counts.

    Call this before torch or numpy is imported. Only `online` jobs may contact a model hub.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
    sys.excepthook = _show
    keep_freed_memory()
    gc.set_threshold(COLLECT_AFTER)
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ.update(
        OMP_DYNAMIC="FALSE",
        MKL_DYNAMIC="FALSE",
        TOKENIZERS_PARALLELISM="false",
        HF_HUB_DISABLE_TELEMETRY="1",
        VLLM_NO_USAGE_STATS="1",
    )
    if not online:
        os.environ["HF_HUB_OFFLINE"] = "1"


def keep_freed_memory() -> None:
    """Keep up to 1 GB of freed memory in the process instead of returning it to the kernel.

    The tensors of a small model are allocated and freed thousands of times. Zeroing the pages again
    each time costs a sixth of an evaluation. Does nothing without glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
        mallopt(parameter, KEPT_BYTES)


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print errors of derotate as one line, all others with their traceback."""
    if kind.__module__.partition(".")[0] == "derotate":
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)

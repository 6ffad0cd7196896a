# SPDX-License-Identifier: MIT
"""What every job does first: its log takes all output, its thread counts come from the config.

The number of threads changes the order of floating-point sums, so it belongs to the study and not
to `--cores` or SLURM; MKL and OpenMP are told not to adapt it.
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
"""New objects before the next search for reference cycles; Python's 700 make it a fifth of the time
that torch and transformers take to import."""


def start(log: str, threads: int = 1, *, online: bool = False) -> None:
    """Send standard output, standard error and tracebacks to `log`; fix the thread counts.

    Call it before torch or numpy is imported. No job but one that is `online` may ask a hub.
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
    """Let the process keep what it frees, up to 1 GB, instead of giving it back at once.

    A small model's tensors are made and dropped thousands of times; pages that the kernel clears
    again each time cost a sixth of an evaluation. Nothing is done where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
        mallopt(parameter, KEPT_BYTES)


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A refusal of our own says all in its one line; anything else gets its traceback."""
    if kind.__module__.partition(".")[0] == "derotate":
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)

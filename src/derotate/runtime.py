# SPDX-License-Identifier: MIT
"""What every job does first: its log takes all output, its thread counts come from the config.

The number of threads changes the order of floating-point sums, so it belongs to the study and not
to `--cores` or SLURM; MKL and OpenMP are told not to adapt it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def start(log: str, threads: int = 1) -> None:
    """Send standard output, standard error and tracebacks to `log`; fix the thread counts.

    Call it before torch or numpy is imported.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ.update(
        OMP_DYNAMIC="FALSE",
        MKL_DYNAMIC="FALSE",
        TOKENIZERS_PARALLELISM="false",
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
    )

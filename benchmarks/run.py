# SPDX-License-Identifier: MIT
"""`make bench`: seven measurements, one table of ratios, also in results/bench.csv.

About twelve minutes on two idle cores, five of them for SmolLM2, which `make bench` installs. A
missed target is shown and fails nothing: times depend on the machine and on what else it does, so
the load is shown too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import busy
import dag
import evaluation
import pandas as pd
import plan
import sft
import solver
import streaming
import surgery
from comparison import REPEATS, THREADS, show, table

from derotate.runs.job_setup import keep_freed_memory

OUT = Path("results/bench.csv")


def streamed() -> list[pd.DataFrame]:
    """The table of benchmarks/streaming.py; none if its model is not installed, which it says.

    It starts processes whose memory it measures. Each of them reads the main script again, so that
    this one, which imports all that is measured here, must not be theirs.
    """
    streaming.OUT.unlink(missing_ok=True)
    script = Path(streaming.__file__)
    subprocess.run([sys.executable, str(script)], check=True)
    return [pd.read_csv(streaming.OUT)] if streaming.OUT.is_file() else []


def main() -> None:
    """Measure, print each result as it comes, and write the table."""
    start = perf_counter()
    keep_freed_memory()
    if warning := busy.before(busy.cores_taken()):
        print(warning)
    print(
        f"{REPEATS} repeats in turn, medians (spread in brackets), torch threads: {THREADS}, "
        f"load before: {os.getloadavg()[0]:.2f}"
    )
    comparisons = []
    for module in (solver, plan, surgery, evaluation, sft, dag):
        comparisons.append(module.compare())
        show(comparisons[-1])
    print(dag.growth())
    found = pd.concat([table(comparisons), *streamed()], ignore_index=True)
    OUT.parent.mkdir(exist_ok=True)
    found.to_csv(OUT, index=False, float_format="%.4g")
    ratios = found[["measurement", "target", "ratio", "lowest", "highest", "met"]]
    print("\n" + ratios.to_string(index=False, float_format="{:.4g}".format))
    print(f"{OUT}, {perf_counter() - start:.0f} s, load after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()

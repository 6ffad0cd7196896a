# SPDX-License-Identifier: MIT
"""`snakemake -n` of the study beside that of the least workflow with as many jobs (minimal.smk).

The study is the demo's grid with many seeds, planned from nothing, so up to its landmarks. What is
compared is CPU time, which other work on the machine changes least.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from comparison import Comparison, alternate, show

ROOT = Path(__file__).resolve().parents[1]
STUDY = "Snakefile"
MINIMAL = "benchmarks/minimal.smk"
SEEDS = 500
"""Seeds of the comparison: 20 jobs each and ten that are shared."""
GROWING = (50, 150, 500)
PLANS = 3
MOST = 1.5
"""Times what the least workflow takes."""
PARSE = """
import sys, time
import snakemake.cli, snakemake.workflow
include, spent, depth = snakemake.workflow.Workflow.include, 0.0, 0
def timed(*arguments, **options):
    global depth, spent
    depth, start = depth + 1, time.process_time()
    include(*arguments, **options)
    depth -= 1
    spent += 0 if depth else time.process_time() - start
snakemake.workflow.Workflow.include = timed
try:
    snakemake.cli.main(["--list-rules", "--cores", "1"])
finally:
    print("parse", spent)
"""


@dataclass(frozen=True)
class Plan:
    """What a dry run took: CPU seconds of its process, and the jobs it planned."""

    seconds: float
    jobs: int


def study(seeds: int) -> Plan:
    """Plan the demo's grid with seeds 1 to `seeds`, of which nothing is made."""
    return _plan(STUDY, "study=planned", f"seeds={list(range(1, seeds + 1))}")


def least(jobs: int) -> Plan:
    """Plan the least workflow with so many jobs, its target among them."""
    return _plan(MINIMAL, f"jobs={jobs - 1}")


def _plan(snakefile: str, *config: str) -> Plan:
    before = _children_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--dry-run", "--cores", "2",
         "--quiet", "rules", "--config", *config],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    total = re.findall(r"^total +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    return Plan(_children_seconds() - before, int(total[-1]))


def parse_seconds() -> float:
    """CPU seconds to read the Snakefile with all that it includes, Snakemake's own start apart."""
    done = subprocess.run(
        [sys.executable, "-c", PARSE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(re.findall(r"^parse ([\d.]+)$", done.stdout, re.MULTILINE)[-1])


def compare(repeats: int = PLANS, seeds: int = SEEDS) -> Comparison:
    """Seconds a job, ours and the least workflow's."""
    jobs = study(seeds).jobs
    counted: set[int] = set()

    def timed(made: Plan) -> float:
        counted.add(made.jobs)
        return made.seconds / made.jobs

    ours, baseline = alternate(lambda _: timed(study(seeds)), lambda _: timed(least(jobs)), repeats)
    return Comparison(
        name=f"planning {jobs:,} jobs",
        baseline="the least workflow with as many jobs",
        unit="job",
        target=1 / MOST,
        ours_seconds=ours,
        baseline_seconds=baseline,
        equal=counted == {jobs},
        checked="the number of jobs",
    )


def growth(sizes: tuple[int, ...] = GROWING) -> str:
    """How the time grows with the study, and the time to read the Snakefile, in words."""
    plans = [study(seeds) for seeds in sizes]
    further = [
        1000 * (later.seconds - first.seconds) / (later.jobs - first.jobs)
        for first, later in pairwise(plans)
    ]
    grown = ", ".join(f"{made.jobs:,} jobs {made.seconds:.1f} s" for made in plans)
    return (
        f"planning: {grown}; a further job {', then '.join(f'{each:.2f}' for each in further)} ms; "
        f"the Snakefile is read in {parse_seconds():.2f} s"
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    show(compare())
    print(growth())

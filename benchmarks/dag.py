# SPDX-License-Identifier: MIT
"""Time of `snakemake -n`: the study beside the same jobs without params, resources or messages.

The study is the demo's grid with many seeds. Nothing is made yet: the plan ends at the landmarks.
Two workflows stand beside it. minimal.smk has the same jobs with the same scripts, logs, benchmarks
and inputs. bare.smk has as many jobs of one rule without inputs. CPU time is compared, because
other work on the machine changes it least.
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
BARE = "benchmarks/bare.smk"
SEEDS = 500
"""Seeds of the comparison: 20 jobs per seed and about ten that all seeds share."""
SIZES = (50, 150, 500)
"""Seeds of the plans that show how the time grows."""
REPEATS = 3
SHARED_JOBS = 3
"""Jobs without a seed by which the study may have grown or shrunk; minimal.smk is frozen."""
MAX_RATIO = 1.5
"""Upper bound of our time divided by that of minimal.smk."""
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
    """What a dry run took: CPU seconds of its process and the number of jobs."""

    seconds: float
    jobs: int


def plan_study(seeds: int) -> Plan:
    """Plan the demo's grid with seeds 1 to `seeds` and no results."""
    return _plan(STUDY, "study=planned", f"seeds={list(range(1, seeds + 1))}")


def plan_minimal(seeds: int) -> Plan:
    """Plan the same jobs without params, resources, environments or messages."""
    return _plan(MINIMAL, f"seeds={seeds}")


def plan_bare(jobs: int) -> Plan:
    """Plan `jobs` jobs that have one output and no input, `rule all` included."""
    return _plan(BARE, f"jobs={jobs - 1}")


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


def compare(repeats: int = REPEATS, seeds: int = SEEDS) -> Comparison:
    """CPU seconds per job of the study and of minimal.smk, planned in turn."""
    counts: set[int] = set()

    def seconds_per_job(plan: Plan) -> float:
        counts.add(plan.jobs)
        return plan.seconds / plan.jobs

    ours, baseline = alternate(
        lambda _: seconds_per_job(plan_study(seeds)),
        lambda _: seconds_per_job(plan_minimal(seeds)),
        repeats,
    )
    return Comparison(
        name=f"planning {max(counts):,} jobs",
        baseline="the same jobs without params, resources and messages",
        unit="job",
        target=1 / MAX_RATIO,
        ours_seconds=ours,
        baseline_seconds=baseline,
        equal=max(counts) - min(counts) <= SHARED_JOBS,
        checked=f"the number of jobs, up to {SHARED_JOBS}",
    )


def growth(sizes: tuple[int, ...] = SIZES) -> str:
    """One line: time by size of the study, ratios to both workflows, time to read the Snakefile."""
    plans = [plan_study(seeds) for seeds in sizes]
    slopes = [
        1000 * (later.seconds - first.seconds) / (later.jobs - first.jobs)
        for first, later in pairwise(plans)
    ]
    seeds, largest = sizes[-1], plans[-1]
    return "; ".join(
        (
            "planning: " + ", ".join(f"{plan.jobs:,} jobs {plan.seconds:.1f} s" for plan in plans),
            "ms per further job: " + ", then ".join(f"{slope:.2f}" for slope in slopes),
            f"{largest.seconds / plan_minimal(seeds).seconds:.2f} times minimal.smk",
            f"{largest.seconds / plan_bare(largest.jobs).seconds:.2f} times bare.smk",
            f"the Snakefile is read in {parse_seconds():.2f} s",
        )
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    show(compare())
    print(growth())

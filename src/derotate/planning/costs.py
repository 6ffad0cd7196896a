# SPDX-License-Identifier: MIT
"""What a cell takes: as measured, scaled from a smaller or larger job of its kind, or estimated.

A job takes a time to start, which is that of imports and the same for all sizes, and then time in
proportion to its amount of work. Medians are taken over the measured jobs of a kind, so all jobs of
the same kind and amount are expected to take the same: differences between seeds are noise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isclose
from pathlib import Path
from statistics import median
from typing import Literal

from derotate.config.schema import Config
from derotate.config.surgery import Diagnostics
from derotate.planning.jobs import Work, work_of
from derotate.planning.units import Cell
from derotate.runs.benchmarks import benchmark_folders, read_costs
from derotate.study import paths as study
from derotate.study import record

Device = Literal["core", "gpu"]
Source = Literal["measured", "scaled", "estimated"]

ESTIMATES: dict[str, tuple[float, float, str]] = {
    "base": (6, 207, "base/base"),
    "sft": (8, 104, "sft/to-600"),
    "grpo": (8, 62, "rl/grpo-from-600"),
    "ppo": (8, 170, "rl/ppo-from-600"),
    "evaluation": (5, 16.5, "evaluation/sft-600"),
    "surgery": (5, 14.5, "evaluation/from-max_ood-into-sft-600/directions-top20"),
    "factors": (2, 2.1, "surgery/factors-base"),
    "spectra": (2, 3.4, "surgery/spectra-base-sft-600"),
    "weights": (2, 3.8, "surgery/weights-base"),
    "states": (5, 12.7, "surgery/states-base"),
    "samples": (0.7, 1.2, "rest/samples-200-600"),
    "oracle-samples": (0.7, 19, "rest/oracle-samples-0-600"),
    "diverse-samples": (0.7, 2.5, "rest/diverse-samples-0-600"),
    "problems": (1, 1.2, "rest/problems"),
    "card": (1, 1, "rest/card"),
    "fetch": (10, 60, "rest/fetch"),
    "landmarks": (0.6, 0.8, "rest/landmarks"),
    "rl-problems": (0.6, 0.7, "rest/rl-problems"),
    "accuracy_by_step": (6, 7, "rest/accuracy_by_step"),
    "tables": (6, 15, "rest/tables"),
    "figures": (10, 12, "rest/figures"),
    "claims": (5, 6, "rest/claims"),
    "phase": (6, 8, "rest/phase"),
}
"""By kind: seconds to start, seconds of a whole job in a study of the demo's settings, and the name
of that job. Medians of a run of the demo with nothing beside it, on two cores of an Intel Xeon;
PPO, oracle, states and weights, which the demo has not, are of the reference study, scaled to it;
diverse samples are from their processor time beside that of SFT's samples.
How long a fetch takes depends on the line, a minute is a guess.
What a machine is really like, `--costs` says."""
_ESTIMATED = Config(diagnostics=Diagnostics(prompts=200))

_MOST_START = 0.8
"""Share of a kind's shortest measured job that the time to start can be, on a faster machine."""


@dataclass(frozen=True)
class Price:
    """Seconds of a job: fixed, and what each run of the study adds to an aggregate's."""

    seconds: float
    per_run: float
    source: Source


@dataclass(frozen=True)
class Prices:
    """Measured jobs by kind, as amount of work and seconds."""

    measured: Mapping[str, Sequence[tuple[float, float]]]

    def of(self, work: Work) -> Price:
        """The price of a job.

        Raises:
            KeyError: a kind of work that was neither measured nor estimated; a bug.
        """
        start, whole, name = ESTIMATES[work.kind]
        estimated = work_of(_ESTIMATED, name)
        assert estimated is not None, name
        known = self.measured.get(work.kind, [])
        like = [seconds for amount, seconds in known if isclose(amount, work.amount)]
        if like and not work.per_run:
            return Price(median(like), 0.0, "measured")
        samples = known or [(estimated.amount, whole)]
        start = min(start, _MOST_START * min(seconds for _, seconds in samples))
        grows = work.amount * median((seconds - start) / amount for amount, seconds in samples)
        source: Source = "scaled" if known else "estimated"
        return Price(start, grows, source) if work.per_run else Price(start + grows, 0.0, source)


def read_prices(folders: Iterable[Path]) -> Prices:
    """The jobs that finished studies have measured, by the config that each has recorded.

    Raises:
        ConfigError: a folder is not that of a study that has run.
    """
    measured: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for folder in folders:
        config = record.read(folder)
        for _, seconds, work in measured_jobs(folder, config):
            runs = len(study.runs(config)) if work.per_run else 1
            measured[work.kind].append((work.amount * runs, seconds))
    return Prices(measured)


def measured_jobs(folder: Path, config: Config) -> Iterator[tuple[str, float, Work]]:
    """Stage, seconds and work of each job that a study has measured and that its config names."""
    costs = read_costs(benchmark_folders(folder, config))
    for stage, rule, seconds in zip(costs["stage"], costs["rule"], costs["seconds"], strict=True):
        work = work_of(config, f"{stage}/{rule}")
        if work is not None and work.kind in ESTIMATES:
            yield str(stage), float(seconds), work


def devices(work: Work, device: Device) -> int:
    """How many devices a job holds."""
    return work.threads if device == "core" else work.gpus


@dataclass(frozen=True)
class PricedCell:
    """A cell and what it takes.

    Attributes:
        cell: the cell.
        price: its seconds.
        devices: how many devices it holds meanwhile.
    """

    cell: Cell
    price: Price
    devices: int

    def seconds(self, runs: int) -> int:
        """Seconds in a study of so many runs; a started second counts."""
        return ceil(self.price.seconds) + ceil(self.price.per_run) * runs


def priced(
    config: Config, cells: Iterable[Cell], prices: Prices, device: Device
) -> list[PricedCell]:
    """Cells of a config with what they take."""
    found = []
    for cell in cells:
        work = work_of(config, cell.name)
        assert work is not None, cell.name
        found.append(PricedCell(cell, prices.of(work), devices(work, device)))
    return found

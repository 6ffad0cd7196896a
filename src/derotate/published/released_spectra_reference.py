# SPDX-License-Identifier: MIT
"""Quantities of random draws and of a trained model, measured once for the re-examination.

Random: Gaussian matrices in the shapes of the released LLaMA figures. Trained: the pair in
`results/reference/pair` (0.8 M parameters; start, end and RL of SFT). The tables are committed, so
that pages need no torch. This command remakes them in about half a minute of one core:

    OMP_NUM_THREADS=1 python -m derotate.published.released_spectra_reference \
        results/reference/pair results/reference/reexamination
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from derotate.config.matrix_kinds import DEFAULT_KINDS, matrix_kind
from derotate.files.tables import write
from derotate.models import checkpoint as checkpoints
from derotate.published.released_spectra import DEVIATION, PLACES, SHAPES, distance
from derotate.published.trained_spectra import COLUMNS
from derotate.spectral.angles import principal_angles
from derotate.spectral.distance import marchenko_pastur_distance
from derotate.spectral.random_matrices import edge, share_below

_DRAWN = ("q", "k", "v")
"""Kinds whose spectra the released figures show."""

Row = dict[str, object]

_SHARES = (512 / 4096, 768 / 4096, 1024 / 4096)
"""Sizes of the released figures' subspaces as shares of the dimension."""


def measure_draws(
    matrix: str, shape: tuple[int, int], draws: int, generator: torch.Generator
) -> Iterator[Row]:
    """Spectra of gaussian draws in the shape of `matrix`, and how two draws differ index by index.

    Args:
        matrix: name of the rows.
        shape: (out, in).
        draws: an even number; they are compared in pairs that share none.
        generator: of the draws.
    """
    first: Tensor | None = None
    for draw in range(draws):
        weight = DEVIATION * torch.randn(shape, dtype=torch.float64, generator=generator)
        values = _singular_values(weight)
        yield _row("random", "distance", matrix, draw, distance(values.tolist(), shape))
        if first is None:
            first = values
        else:
            change = values - first
            first = None
            for name, value in (
                ("largest_change_of_a_singular_value", change.abs().max()),
                ("mean_change_of_singular_values", change.abs().mean()),
                ("std_of_changes_of_singular_values", change.std()),
            ):
                yield _row("random", name, matrix, draw, float(value))


def measure_unrelated_changes(
    dimension: int, draws: int, generator: torch.Generator
) -> Iterator[Row]:
    """Angles between W_1 - W_0 and W_2 - W_1 of three unrelated square matrices, by share."""
    for draw in range(draws):
        start, end, after = torch.randn(3, dimension, dimension, generator=generator)
        yield from _change_angles("random", "q", draw, start, end, after)


def measure_trained(pair: Path) -> Iterator[Row]:
    """The same of every projection matrix of a trained model.

    Args:
        pair: directory with the checkpoints donor (early SFT), patient (end of SFT) and rl.
    """
    states = [checkpoints.load_state(pair / name) for name in ("donor", "patient", "rl")]
    for name in sorted(states[0]):
        kind = matrix_kind(name)
        layer, matrix = kind or (None, "")
        if layer is None or matrix not in DEFAULT_KINDS:
            continue
        start, end, after = (state[name].to(torch.float64) for state in states)
        yield from _trained_spectrum(end, matrix, layer)
        bases = [torch.linalg.svd(weight, full_matrices=False) for weight in (start, end, after)]
        for side, (a, b, c) in (
            ("left", [u for u, _, _ in bases]),
            ("right", [v.T for _, _, v in bases]),
        ):
            if a.shape[0] > a.shape[1]:  # else the vectors span everything
                chordal = float(principal_angles(a, b).sin().square().mean().sqrt())
                yield _row("trained", "chordal_distance", matrix, layer, chordal, side=side)
            for share in _SHARES:
                size = round(share * min(start.shape))
                smallest = float(principal_angles(b[:, :size], c[:, :size])[0].rad2deg())
                yield _row(
                    "trained", "smallest_principal_angle", matrix, layer, smallest, share, side
                )
        yield from _change_angles("trained", matrix, layer, start, end, after)


def trained_spectra(pair: Path) -> pd.DataFrame:
    """Singular values of q, k and v at the end of SFT, in the columns of `trained_spectra`.

    Args:
        pair: as for `measure_trained`.
    """
    state = checkpoints.load_state(pair / "patient")
    parts = []
    for name in sorted(state):
        layer, matrix = matrix_kind(name) or (None, "")
        if layer is not None and matrix in _DRAWN:
            values = torch.linalg.svdvals(state[name].to(torch.float64))
            facts = (matrix, layer, *state[name].shape)
            parts += [(*facts, index, float(value)) for index, value in enumerate(values)]
    return pd.DataFrame(parts, columns=COLUMNS)


def _trained_spectrum(weight: Tensor, matrix: str, layer: int) -> Iterator[Row]:
    shape = (weight.shape[0], weight.shape[1])
    values = torch.linalg.svdvals(weight)
    fitted = float(weight.square().mean().sqrt())
    yield _row("trained", "distance", matrix, layer, marchenko_pastur_distance(values, shape))
    rank = min(shape)
    of = SHAPES["k" if matrix in ("k", "v") else "q"]
    places = [min(rank - 1, round(place / min(of) * rank)) for place in PLACES]
    shares = 1 - (np.array(places) + 0.5) / rank
    found = share_below(values[places].numpy(), shape, fitted)
    yield _row("trained", "distance_at_places", matrix, layer, float(np.abs(found - shares).max()))
    yield _row(
        "trained", "largest_value_over_edge", matrix, layer, float(values[0]) / edge(shape, fitted)
    )


def _change_angles(
    source: str, matrix: str, draw: int, start: Tensor, end: Tensor, after: Tensor
) -> Iterator[Row]:
    first, second = (
        torch.linalg.svd(change, full_matrices=False)[0] for change in (end - start, after - end)
    )
    for share in _SHARES:
        size = round(share * min(start.shape))
        smallest = float(principal_angles(first[:, :size], second[:, :size])[0].rad2deg())
        yield _row(source, "smallest_angle_of_changes", matrix, draw, smallest, share, "left")


def _singular_values(weight: Tensor) -> Tensor:
    """By the eigenvalues of the smaller Gram matrix: ten times faster, and exact to 1e-7 here."""
    short = weight if weight.shape[0] <= weight.shape[1] else weight.T
    return torch.linalg.eigvalsh(short @ short.T).clamp_min(0).flip(0).sqrt()


def _row(
    source: str,
    quantity: str,
    matrix: str,
    draw: int,
    value: float,
    share: float = float("nan"),
    side: str = "",
) -> Row:
    return {
        "source": source, "quantity": quantity, "matrix": matrix, "draw": draw, "share": share,
        "side": side, "value": value,
    }  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Write both tables: arguments are the directory of the pair and the folder to write to."""
    pair, folder = map(Path, arguments)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    rows = [
        *measure_draws("k", SHAPES["k"], 12, generator),
        *measure_draws("q", SHAPES["q"], 2, generator),
        *measure_unrelated_changes(1024, 3, generator),
        *measure_trained(pair),
    ]
    write(pd.DataFrame(rows), folder / "measured.csv")
    write(trained_spectra(pair), folder / "trained_spectra.csv")


if __name__ == "__main__":
    main(sys.argv[1:])

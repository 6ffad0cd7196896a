# SPDX-License-Identifier: MIT
"""Simulated studies with known effects, in the shape of the real one.

Answers are thresholds on a latent standard normal z: correct if z < Phi^-1(rate), so that each
checkpoint has exactly its rate. z has components per number set (difficulty), per run and number
set, and per problem. The z of a treated checkpoint correlates with that of its reference (`kept`),
which makes paired answers alike. The rest is its own, in part common to all runs, since every run
forgets the same problems. Rates of treated checkpoints vary by run (seeds) and by base. The effects
of bases sum to zero, since bases are strata, not a sample.

Many studies go through `derotate.analysis.contrasts` in one call, each as a suite of its own (its
number in the place of the split), which takes a tenth of the time of single calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from derotate.analysis.contrasts import contrasts
from derotate.claims.cells import Tables

_BATCH = 20
# Shares of the variance of z: number set, number set in a run, problem order, the rest.
_SHARED = (0.55, 0.10, 0.10, 0.25)
_OWN = (0.40, 0.20, 0.0, 0.40)
_PEAK, _END = 1, 2


@dataclass(frozen=True)
class Effect:
    """A treated checkpoint beside its reference.

    Attributes:
        points: true difference, treated minus reference.
        seed_sd: of that difference between runs, in points.
        base_spread: the outermost bases lie this far from the mean, in points.
        kept: correlation of the z of both.
    """

    points: float
    seed_sd: float
    base_spread: float
    kept: float


@dataclass(frozen=True)
class Design:
    """Shape and truth of a simulated study.

    Attributes:
        bases: number of bases.
        seeds: runs of each base.
        clusters: number sets.
        per_cluster: problems of each.
        rate: percent correct at references.
        forgot: the end of SFT beside the peak.
        gains: each RL run beside the SFT step it starts from.
    """

    forgot: Effect
    gains: tuple[Effect, ...]
    bases: int = 2
    seeds: int = 3
    clusters: int = 478
    per_cluster: int = 2
    rate: float = 20.0

    @property
    def starts(self) -> list[int]:
        """The SFT steps from which RL starts."""
        return list(range(_END + 1, _END + 1 + len(self.gains)))


def simulate(design: Design, studies: int, seed: int) -> Iterator[Tables]:
    """Contrasts and landmarks of `studies` simulated studies, as the workflow writes them."""
    rng = np.random.default_rng(seed)
    landmarks = _landmarks(design)
    for start in range(0, studies, _BATCH):
        count = min(_BATCH, studies - start)
        for _, own in _contrasts(design, count, rng).groupby("split"):
            yield {"contrasts": own.assign(split="ood"), "landmarks": landmarks}


def with_shares(
    tables: Sequence[Tables], design: Design, slope: float, noise: float, seed: int
) -> list[Tables]:
    """The studies with shares of correct first samples: 20 + slope x true gain + normal noise.

    Args:
        tables: of `simulate`.
        design: of these studies.
        slope: percent per point of true gain; 0: the shares predict nothing.
        noise: standard deviation in percent.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    gains = np.array([effect.points for effect in design.gains])
    found: list[Tables] = []
    for study in tables:
        runs = study["landmarks"][["base_seed", "seed"]]
        first = runs.merge(pd.DataFrame({"start": design.starts, "gain": gains}), how="cross")
        share = 20 + slope * first["gain"] + rng.normal(0, noise, len(first))
        first = first.assign(algorithm="grpo", correct_share=share.clip(0, 100))
        found.append({**study, "rl_first_update": first})
    return found


def _landmarks(design: Design) -> pd.DataFrame:
    runs = [(base, seed) for base in range(design.bases) for seed in range(design.seeds)]
    table = pd.DataFrame(runs, columns=["base_seed", "seed"])
    nothing = dict.fromkeys(["rl_end_algorithm", "rl_end_start", "rl_end_step"])
    return table.assign(max_ood=_PEAK, sft_end=_END, **nothing)


def _pairs(design: Design) -> list[tuple[tuple[str, int], tuple[str, int], Effect]]:
    """Reference and treated checkpoint (stage, SFT step) of each contrast, with its effect."""
    gains = zip(design.starts, design.gains, strict=True)
    runs = [(("sft", start), ("rl", start), effect) for start, effect in gains]
    return [(("sft", _PEAK), ("sft", _END), design.forgot), *runs]


def _contrasts(design: Design, studies: int, rng: np.random.Generator) -> pd.DataFrame:
    """Contrasts of many studies, one study per split.

    One call per contrast and base: they are independent, and selecting rows takes time in
    proportion to all rows.
    """
    shape = (studies, design.bases, design.seeds, design.clusters, design.per_cluster)
    keys, landmarks = _keys(design, shape), _landmarks(design)
    difficulty = _latent(shape, _SHARED, rng)
    tables = []
    for reference, treated, effect in _pairs(design):
        own = _latent(shape, _OWN, rng)
        after = np.sqrt(effect.kept) * difficulty + np.sqrt(1 - effect.kept) * own
        rates = _rates(design, effect, studies, rng)[..., None, None]
        right = difficulty < stats.norm.ppf(design.rate / 100)
        right_after = after < stats.norm.ppf(rates)
        rows = pd.concat(
            [_answers(keys, reference, right), _answers(keys, treated, right_after)],
            ignore_index=True,
        )
        tables += [
            contrasts(rows[rows["base_seed"] == base], own_landmarks)
            for base, own_landmarks in landmarks.groupby("base_seed")
        ]
    return pd.concat(tables, ignore_index=True)


def _keys(design: Design, shape: tuple[int, ...]) -> pd.DataFrame:
    study, base, seed, cluster, order = np.indices(shape).reshape(len(shape), -1)
    problem = cluster * design.per_cluster + order
    index = {"split": study, "base_seed": base, "seed": seed, "cluster": cluster}
    texts = {"fold": "test", "decoding": "greedy", "direction": "", "patient": "", "recipe": ""}
    # Constant texts as categories: copying strings would take most of the time.
    columns = {name: pd.Categorical.from_codes(np.zeros(problem.size, np.int8), [text])
               for name, text in texts.items()}  # fmt: skip
    return pd.DataFrame(
        {**index, "problem": problem, **columns, "attempt": np.int8(0), "loss": np.nan}
    )


def _answers(
    keys: pd.DataFrame, checkpoint: tuple[str, int], correct: NDArray[np.bool_]
) -> pd.DataFrame:
    stage, step = checkpoint
    rl = stage == "rl"
    return keys.assign(
        stage=pd.Categorical.from_codes(np.full(len(keys), int(rl), np.int8), ["sft", "rl"]),
        algorithm=pd.Categorical.from_codes(np.full(len(keys), int(rl), np.int8), ["", "grpo"]),
        step=1 if rl else step,
        start=step if rl else -1,
        correct=correct.reshape(-1).astype(np.int8),
    )


def _rates(
    design: Design, effect: Effect, studies: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Rates of the treated checkpoint, 0 to 1: [studies, bases, seeds]."""
    bases = effect.base_spread * np.linspace(-1, 1, design.bases) if design.bases > 1 else [0.0]
    seeds = rng.normal(0, effect.seed_sd, (studies, design.bases, design.seeds))
    points = design.rate + effect.points + np.asarray(bases)[None, :, None] + seeds
    return np.clip(points / 100, 0.001, 0.999)


def _latent(
    shape: tuple[int, ...], shares: tuple[float, float, float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """A standard normal z: [studies, bases, seeds, clusters, problems of a cluster].

    The components per number set and per problem are common to all runs of a study; one component
    varies by run.
    """
    studies, bases, seeds, clusters, size = shape
    cluster, run, problem, rest = (np.sqrt(share) for share in shares)
    return np.asarray(
        cluster * rng.standard_normal((studies, 1, 1, clusters, 1))
        + run * rng.standard_normal((studies, bases, seeds, clusters, 1))
        + problem * rng.standard_normal((studies, 1, 1, clusters, size))
        + rest * rng.standard_normal(shape)
    )

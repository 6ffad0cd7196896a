# SPDX-License-Identifier: MIT
"""False positive rate and power of the tests, on simulated studies.

Every kind of test that a claim may use is run at its null and at a stated effect, through the same
code as real verdicts (`verdicts.evaluate_claim`), without adjustment for other claims. At a null
every verdict except `undecided` is a false positive, in either direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from derotate.claims.cells import Tables
from derotate.claims.hypothesis_tests import Combine, combine
from derotate.claims.schema import Claim
from derotate.claims.simulated_studies import Design, Effect, simulate, with_shares
from derotate.claims.verdicts import evaluate_claim

STUDIES = 400
MOST_FALSE = 0.05
LEAST_POWER = 0.8

COLUMNS = [
    "test", "scenario", "truth", "studies", "rejections", "rate", "low", "high", "limit", "passed",
    "bases", "runs", "n", "clusters",
]  # fmt: skip
NULL, EFFECT = "null true", "stated effect"
"""Scenarios: the claim is false, so a rejection is a false positive; or it is true (power)."""

_NOTHING, _MARGIN, _LARGE, _HALF, _CHANCE = 3, 4, 5, 6, 7
"""Starts of RL, by the simulated effect: none in any run, the margin, a large gain, half of the
loss, and none on average with a large variance between runs."""


@dataclass(frozen=True)
class Trial:
    """One claim whose truth is known.

    Attributes:
        test: kind of test.
        truth: the simulated effect, in words.
        claim: the claim that is tested.
        power: whether the claim is true; else its verdicts are false positives.
        informed: whether the share of correct first samples predicts the gains of RL.
    """

    test: str
    truth: str
    claim: Claim
    power: bool
    informed: bool = False


def design(bases: int = 2, seeds: int = 3, clusters: int = 478, per_cluster: int = 2) -> Design:
    """The design of the simulated studies.

    The standard deviations between seeds are those of the three reference seeds of the demo: 3
    points for forgetting, below 0.5 points for RL and edits of singular values.
    """
    return Design(
        forgot=Effect(points=-9, seed_sd=2.5, base_spread=2, kept=0.6),
        gains=(
            Effect(points=0, seed_sd=0.4, base_spread=0.2, kept=0.95),
            Effect(points=2, seed_sd=0.4, base_spread=0.2, kept=0.95),
            Effect(points=6, seed_sd=1.5, base_spread=0.5, kept=0.7),
            Effect(points=4.5, seed_sd=1.5, base_spread=0.5, kept=0.7),
            Effect(points=0, seed_sd=3, base_spread=1, kept=0.7),
        ),
        bases=bases,
        seeds=seeds,
        clusters=clusters,
        per_cluster=per_cluster,
    )


def calibration_table(
    designs: Sequence[Design], studies: int = STUDIES, seed: int = 0
) -> pd.DataFrame:
    """The calibration as the findings page shows it, one shape of study after the other.

    Args:
        designs: of the studies that are simulated.
        studies: of each design.
        seed: of the simulation; each design starts from it.

    Returns:
        As `calibrate`.
    """
    tables = [calibrate(list(simulate(of, studies, seed)), of) for of in designs]
    return pd.concat(tables, ignore_index=True)


def calibrate(tables: Sequence[Tables], of: Design, combine: Combine = combine) -> pd.DataFrame:
    """Share of false positives and power of each kind of test.

    Args:
        tables: simulated studies of `of`.
        of: their design.
        combine: how runs are combined.

    Returns:
        Columns `COLUMNS`: kind of test; scenario (`NULL` or `EFFECT`) and the truth in words;
        studies, rejections, their rate with exact 95 % bounds (Clopper and Pearson 1934) and its
        limit, shares from 0 to 1; whether the test passed (see `breaches`); and the shape of the
        data: bases, runs, problems n and clusters of a run.
    """
    blind = with_shares(tables, of, slope=0, noise=3, seed=1)
    informed = with_shares(tables, of, slope=4, noise=3, seed=2)
    rows = []
    for trial in trials():
        found = [
            _verdict(trial.claim, study, combine)
            for study in (informed if trial.informed else blind)
        ]
        wanted = ("supported",) if trial.power else _false(trial.claim)
        count = sum(verdict in wanted for verdict in found)
        bounds = stats.binomtest(count, len(found)).proportion_ci(0.95, method="exact")
        low, high = float(bounds.low), float(bounds.high)
        scenario, limit, passed = (
            (EFFECT, LEAST_POWER, low >= LEAST_POWER)
            if trial.power
            else (NULL, MOST_FALSE, low <= MOST_FALSE)
        )
        rows.append(
            (trial.test, scenario, trial.truth, len(found), count, count / len(found), low, high,
             limit, passed, of.bases, of.bases * of.seeds, of.clusters * of.per_cluster,
             of.clusters)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def breaches(table: pd.DataFrame) -> list[str]:
    """Tests that failed the calibration, one line each; empty if none.

    A test is liberal if the exact interval of its false positive rate lies above 5 %, and
    underpowered unless that of its power lies above 80 %.
    """
    found = []
    for row in table[~table["passed"].astype(bool)].to_dict("records"):
        shown = (
            f"{row['test']}, {row['truth']}, {row['runs']} runs: {row['rejections']} of "
            f"{row['studies']}"
        )
        if row["scenario"] == EFFECT:
            found.append(f"underpowered: {shown}, expected significantly above {row['limit']:.0%}")
        else:
            found.append(f"liberal: {shown}, expected at most {row['limit']:.0%}")
    return found


def trials() -> list[Trial]:
    """All kinds of tests, each at a null and at an effect."""
    lost, chance, large = _part(_lost()), _part(_gain(_CHANCE)), _part(_gain(_LARGE))
    same = {"test": "equivalent", "margin": 2.0}
    ratio = {"kind": "ratio", "numerator": [_gain(_HALF)], "denominator": [_lost()]}
    ranks = {
        "kind": "across_starts", "algorithm": "grpo", "predictor": "correct_share",
        "outcome": "gain",
    }  # fmt: skip
    above_half = {"statistic": ratio, "test": "more", "null_value": 0.5}
    return [
        Trial("difference", "0 points", _claim(chance), power=False),
        Trial("difference", "9 points", _claim(lost), power=True),
        Trial("equivalence", "2 points, the margin", _claim(_part(_gain(_MARGIN), **same)), False),
        Trial("equivalence", "0 points", _claim(_part(_gain(_NOTHING), **same)), power=True),
        Trial("ratio", "0.5, the null", _claim(above_half), power=False),
        Trial("ratio", "0.5 beside a null of 0", _claim({**above_half, "null_value": 0}), True),
        Trial("all parts", "9 and 0 points", _claim(lost, chance), power=False),
        Trial("all parts", "9 and 6 points", _claim(lost, large), power=True),
        Trial("rank correlation", "unrelated", _claim({"statistic": ranks, "test": "more"}), False),
        Trial(
            "rank correlation",
            "4 percent a point, noise of 3",
            _claim({"statistic": ranks, "test": "more"}),
            power=True,
            informed=True,
        ),
    ]


def _false(claim: Claim) -> tuple[str, ...]:
    """Verdicts that are false positives at a null of the claim.

    At the equivalence margin, and where only one of several parts is at its null, `contradicted` is
    not an error of the same kind: only `supported` counts.
    """
    one_sided = len(claim.parts) > 1 or claim.parts[0].test == "equivalent"
    return ("supported",) if one_sided else ("supported", "contradicted")


def _verdict(claim: Claim, tables: Tables, combine: Combine) -> str:
    result = evaluate_claim(claim, tables, combine=combine)
    if not result.parts:
        raise ValueError(f"calibration: {result.obstacle}; the simulated studies lack cells")
    return result.verdict(result.p)


def _claim(*parts: dict[str, object]) -> Claim:
    named = [{"label": "calibration", **part} for part in parts]
    return Claim.model_validate(
        {"id": "C0", "title": "", "statement": "", "source": "", "needs": [""], "parts": named}
    )


def _part(term: dict[str, object], **judged: object) -> dict[str, object]:
    return {"statistic": {"terms": [term]}, "test": "more", **judged}


def _lost() -> dict[str, object]:
    return {"where": {"contrast": "forgot", "split": "ood", "fold": "test"}}


def _gain(start: int) -> dict[str, object]:
    treatment = f"rl-grpo-{start}"
    where = {"contrast": "rl_over_start", "treatment": treatment, "split": "ood", "fold": "test"}
    return {"where": where}

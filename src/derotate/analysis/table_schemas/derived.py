# SPDX-License-Identifier: MIT
"""Schemas of the tables beside those of the rule `tables`: verdicts, phase diagram, budget,
calibration, released spectra and the trained pair.
"""

from __future__ import annotations

from typing import Final

from derotate.analysis.table_schemas.columns import (
    flag,
    interval,
    number,
    percent,
    points,
    share,
    table,
    text,
    whole,
)
from derotate.analysis.table_schemas.shared_columns import RUN, SUITE

_VERDICTS: Final = ("supported", "contradicted", "undecided", "not testable")

_PART: Final = {
    "part": text("the part of the claim that the numbers are of"),
    "test": text("more, less or equivalent"),
    "unit": text("unit of effect, interval, null, threshold, margin and mde"),
    "effect": number("mean over bases of the mean over their runs", "see unit"),
    "low": number("lower end of its interval: 95 %, 90 % for equivalence", "see unit"),
    "high": number("upper end of its interval", "see unit"),
    "null": number("null value", "see unit"),
    "threshold": number("what the estimate must reach; empty: the null value", "see unit"),
    "margin": number("equivalence margin", "see unit", 0),
    "n": whole("problems per run; empty where the effect is not counted in problems", missing=True),
    "clusters": whole("clusters per run, likewise", missing=True),
    "runs": whole("runs", missing=True),
    "bases": whole("bases", missing=True),
}
_POWER: Final = {
    "mde": number("minimum detectable effect at 80 % power, unadjusted", "see unit"),
    "runs_needed": whole(
        "runs over these bases that would decide at this effect; empty: more than a thousand",
        missing=True,
    ),
}

CLAIMS: Final = table(
    "One row per claim of claims.yaml",
    {
        "claim": text("id of the claim"),
        "title": text("what it is about"),
        "primary": flag("whether it was named a primary claim beforehand"),
        "verdict": text("the verdict", _VERDICTS, missing=False),
        **_PART,
        "p": share("p-value of the direction that the estimates point to"),
        "p_adjusted": share("p, adjusted over the primary or the other claims"),
        "adjustment": text("Holm (primary claims) or Benjamini-Hochberg"),
        **_POWER,
        "reason": text("why the verdict is not another one"),
    },
    "claim",
    made_by="rule claims",
    read_by="findings page; derotate compare",
)

CLAIM_PARTS: Final = table(
    "One row per part of a claim that could be tested",
    {
        "claim": text("id of the claim"),
        **_PART,
        "p_for": share("p-value of H0: the part does not hold"),
        "p_against": share("p-value of H0: the part reaches its threshold or is equivalent"),
        **_POWER,
        "covers": text("what the interval generalises to, conditional on the bases"),
    },
    "claim part",
    made_by="rule claims",
    read_by="findings page",
)

PHASE: Final = table(
    "One row per SFT run of the phase diagram: one learning rate from one base",
    {
        **RUN,
        "base_steps": whole("pretraining steps of the base"),
        "learning_rate": number("learning rate of SFT", "", 0, missing=False),
        "base_ood": percent("OOD test accuracy of the base"),
        "base_id": percent("ID train accuracy of the base"),
        "peak_step": whole("SFT step of highest OOD accuracy on the selection fold; 0: the base"),
        "peak_ood": percent("OOD test accuracy of that step"),
        **interval("gained", points("peak_ood - base_ood"), suffixed=True),
        "end_step": whole("last SFT step"),
        "end_ood": percent("OOD test accuracy of the last step"),
        "end_id": percent("ID train accuracy of the last step"),
        **interval("end_lost", points("peak_ood - end_ood"), suffixed=True),
        "id_highest": percent("highest ID train accuracy of any step"),
        "learned": flag("whether id_highest is at least 90 %"),
        "matched_step": whole("first step of 95 % ID train accuracy; empty: none", missing=True),
        "matched_ood": percent("OOD test accuracy of that step"),
        "matched_id": percent("ID train accuracy of that step"),
        **interval(
            "matched_lost", points("OOD test accuracy of the peak until then, minus matched_ood"),
            suffixed=True,
        ),
        "n": whole("OOD test problems"),
        "clusters": whole("their clusters"),
    },
    "base_seed seed base_steps learning_rate",
    made_by="rule phase_diagram",
    read_by="rule phase_diagram; findings page",
)  # fmt: skip

BUDGET: Final = table(
    "One row per stage, and one of the whole study (all)",
    {
        "stage": text("part of the budget"),
        "budget_minutes": number("budget of the config", "minutes", 0),
        "took_minutes": number("wall times of its jobs, added up", "minutes", 0),
        "jobs": whole("jobs"),
        "peak_memory_mb": number("largest resident set of a job", "MB", 0),
        "wall_minutes": number("time in which at least one of its jobs ran", "minutes", 0),
    },
    "stage",
    made_by="`derotate costs`",
    read_by="`derotate summary`; reproducing page",
)

CALIBRATION: Final = table(
    "One row per kind of test, scenario and shape of the simulated studies",
    {
        "test": text("kind of test"),
        "scenario": text("null true: false positives; stated effect: power"),
        "truth": text("the simulated effect"),
        "studies": whole("simulated studies"),
        "rejections": whole("studies in which the test rejects"),
        **interval("rate", share("rejections / studies")),
        "limit": share("highest rate allowed at the null, lowest power wanted"),
        "passed": flag("whether the interval reaches the limit"),
        "bases": whole("bases per study"),
        "runs": whole("runs per study"),
        "n": whole("problems per run"),
        "clusters": whole("clusters per run"),
    },
    "test scenario truth bases runs n clusters",
    made_by="rule calibrate (`make calibration`)",
    read_by="findings page",
)

REEXAMINATION_SPECTRA: Final = table(
    "One row per released spectrum: its Kolmogorov distance from the law of random matrices",
    {
        "matrix": text("q, k, v, up or down"),
        "recipe": text("sft or rl"),
        "points": whole("singular values that could be read"),
        "distance": number("distance at these places", "", 0),
        "largest_relative_difference": number("of a value from the law", "", 0),
        "random_high": number("largest distance of a random draw, whole spectrum", "", 0),
        "trained_low": number("smallest distance of a trained matrix, same places", "", 0),
        "trained_median": number("median of these", "", 0),
        "trained_high": number("largest of these", "", 0),
        "verdict": text("consistent with random weights, or not"),
        "from_nearest_trained": number("distance from the nearest trained matrix", "", 0),
    },
    "matrix recipe",
    made_by="rule reexamination",
    read_by="readers",
)

REEXAMINATION_CHECKS: Final = table(
    "One row per released quantity beside random and trained weights",
    {
        "quantity": text("what was released"),
        "model": text("model"),
        "matrix": text("kind of matrix"),
        "place": text("file or figure"),
        "observed_low": number("lowest released value"),
        "observed_high": number("highest released value"),
        "tolerance": number("reading error", "", 0),
        "random_low": number("lowest under random weights"),
        "random_high": number("highest under random weights"),
        "random_from": text("closed form or draws"),
        "trained_low": number("lowest of the trained pair"),
        "trained_high": number("highest of the trained pair"),
        "verdict": text("consistent with random weights, or not"),
        "tells": text("whether random and trained weights differ in it"),
    },
    "quantity model matrix place",
    made_by="rule reexamination",
    read_by="readers",
)

MEASURED: Final = table(
    "One row per quantity of a random draw or a trained matrix",
    {
        "source": text("random or trained", ("random", "trained")),
        "quantity": text("what was measured"),
        "matrix": text("kind of matrix"),
        "draw": whole("number of the draw; layer of the trained pair"),
        "share": share("size of the subspace as a share of the rank"),
        "side": text("left or right singular vectors", ("", "left", "right")),
        "value": number("the quantity; angles in degrees"),
    },
    "source quantity matrix draw share side",
    made_by="`python -m derotate.published.released_spectra_reference`",
    read_by="rule reexamination",
)

TRAINED_SPECTRA: Final = table(
    "One row per singular value of a trained matrix",
    {
        "matrix": text("q, k or v"),
        "layer": whole("layer"),
        "out": whole("rows of the matrix", 1),
        "in": whole("columns of the matrix", 1),
        "index": whole("place in the spectrum; 0: the largest"),
        "value": number("singular value", "", 0),
    },
    "matrix layer index",
    made_by="`python -m derotate.published.released_spectra_reference`",
    read_by="rule reexamination",
)

PAIR_EVALUATIONS: Final = table(
    "One row per checkpoint of the trained pair and problem",
    {
        "checkpoint": text("donor, patient or rl", ("donor", "patient", "rl")),
        "problem": text("name of the problem"),
        **SUITE,
        "cluster": text("number set"),
        "correct": whole("1: correct"),
        "kind": text("error kind"),
        "loss": number("loss of the reference answer", "nats/token", 0),
    },
    "checkpoint problem",
    made_by="`derotate explore-export`",
    read_by="`derotate explore`",
)

PAIR_PROBLEMS: Final = table(
    "One row per problem of the trained pair",
    {
        "name": text("name of the problem"),
        **SUITE,
        "cards": text("cards"),
        "rule": text("value of J, Q and K"),
        "target": whole("target"),
    },
    "name",
    made_by="`derotate explore-export`",
    read_by="`derotate explore`",
)

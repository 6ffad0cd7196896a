# SPDX-License-Identifier: MIT
"""Schemas of what problems were answered correctly: accuracies, errors, contrasts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pandera.pandas as pa

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
from derotate.analysis.table_schemas.shared_columns import (
    CHECKPOINT,
    COUNTS,
    RUN,
    RUN_KEY,
    STEP_KEY,
    SUITE,
)


def _accuracy_by_step(made_by: str, read_by: str, *, key: str = STEP_KEY) -> pa.DataFrameSchema:
    return table(
        "One row per checkpoint and suite, by seed and pooled",
        {
            **RUN,
            **CHECKPOINT,
            **SUITE,
            **COUNTS,
            **interval("accuracy", percent("greedy pass@1")),
        },
        key,
        made_by=made_by,
        read_by=read_by,
    )


_PICKS = table(
    "One row per run and criterion: the SFT step that the criterion would choose",
    {
        **RUN,
        "criterion": text("lowest loss, highest accuracy or last step"),
        "split": text("split whose score decides; empty for the last step"),
        "fold": text("fold whose score decides; empty for the last step"),
        "step": whole("the chosen SFT step; ties go to the earlier one"),
        "accuracy": percent("OOD test accuracy of the chosen step"),
        "best_step": whole("SFT step of highest OOD test accuracy"),
        "best": percent("OOD test accuracy of that step: chosen by the same scores, so biased up"),
        "regret": number("best - accuracy", "points", 0, 100),
    },
    f"{RUN_KEY} criterion split fold",
    made_by="rule tables",
    read_by="rules claims, figures; findings page",
)

CONTRASTS = (
    *("peak_over_base", "forgot", "id_rise", "rl_gain", "over_loss_pick"),
    *("rl_over_start", "rl_over_more_sft", "rl_over_shuffled", "rl_over_peak"),
    *("arm_over_sft_end", "arm_over_peak", "over_patient", "over_donor", "over_rollback"),
    *("over_equal_norm", "over_equal_loss", "over_random_rotation", "over_random_norm"),
    "over_wrong_donor",
)
"""Contrasts of a study; `derotate.analysis.contrasts.contrasts` describes each."""

_CONTRASTS = table(
    "One row per contrast and suite: treatment minus reference on the same problems",
    {
        **RUN,
        "contrast": text("what is compared", CONTRASTS, missing=False),
        "direction": text(
            "of surgery: forward (peak into end of SFT) or reverse", ("", "forward", "reverse")
        ),
        "treatment": text("landmark, RL run, arm or surgery recipe"),
        "reference": text("what it is compared with"),
        **SUITE,
        "seeds": whole("seeds behind the difference"),
        "n": whole("pairs of answers to the same problem"),
        "clusters": COUNTS["clusters"],
        **interval("points", points("mean difference")),
        "standard_error": number("cluster-robust standard error", "points", 0),
        "margin": number("equivalence margin of TOST", "points", 0),
        "equivalence_p": share("p-value of TOST (H0: the difference reaches the margin)"),
        "equivalent": flag("whether TOST passes at 5 %"),
        "smallest_margin": number("smallest margin at which TOST passes", "points", 0),
    },
    f"{RUN_KEY} contrast direction treatment reference split fold",
    made_by="rule tables",
    read_by="rule claims; findings page; derotate compare",
)


EVALUATIONS: Final[Mapping[str, pa.DataFrameSchema]] = MappingProxyType(
    {
        "accuracy_by_step": _accuracy_by_step(
            "rule tables", "rules claims, figures; findings page; derotate explore"
        ),
        # The base's rows repeat for each arm, so there is no key.
        "arms_by_step": _accuracy_by_step("rule tables", "readers", key=""),
        "loss_by_step": table(
            "One row per SFT checkpoint and suite, by seed and pooled",
            {
                **RUN,
                "stage": text("base or sft", ("base", "sft")),
                "step": whole("SFT step; 0: the base"),
                **SUITE,
                **COUNTS,
                **interval("loss", number("loss of the reference answer", "nats/token")),
            },
            f"{RUN_KEY} stage step split fold",
            made_by="rule tables",
            read_by="rule figures",
        ),
        "errors_by_step": table(
            "One row per checkpoint, suite and error kind",
            {
                **RUN,
                **CHECKPOINT,
                **SUITE,
                "n": whole("answers"),
                "kind": text("correct, id_rule_applied, unparsable, or an error of the task"),
                "share": percent("answers of this kind"),
            },
            f"{STEP_KEY} kind",
            made_by="rule tables",
            read_by="rules claims, figures",
        ),
        "picks": _PICKS,
        "stages": table(
            "One row per landmark and suite, by seed and pooled",
            {
                **RUN,
                "landmark": text(
                    "base, max_ood, sft_end or rl_end", ("base", "max_ood", "sft_end", "rl_end")
                ),
                "checkpoint": text("its checkpoint; those of all seeds where pooled"),
                **SUITE,
                **COUNTS,
                **interval("accuracy", percent("greedy pass@1")),
            },
            f"{RUN_KEY} landmark split fold",
            made_by="rule tables",
            read_by="rules claims, figures; findings page; derotate compare",
        ),
        "contrasts": _CONTRASTS,
        "pass_at_k": table(
            "One row per checkpoint, suite and k; empty unless evaluation.samples is above 0",
            {
                **RUN,
                **CHECKPOINT,
                **SUITE,
                "k": whole("number of samples", 1),
                **COUNTS,
                **interval("pass_at_k", percent("unbiased pass@k (arXiv 2107.03374)")),
            },
            f"{STEP_KEY} k",
            made_by="rule tables",
            read_by="readers",
        ),
        "attempts": table(
            "One row per checkpoint, suite and number of attempts with verifier feedback; "
            "empty unless evaluation.attempts is above 0",
            {
                **RUN,
                **CHECKPOINT,
                **SUITE,
                "attempts": whole("attempts per problem", 1),
                **COUNTS,
                **interval("solved", percent("problems solved within them")),
            },
            f"{STEP_KEY} attempts",
            made_by="rule tables",
            read_by="readers",
        ),
        "episodes": table(
            "One row per checkpoint, suite and number of attempts; empty if problems stand alone",
            {
                **RUN,
                **CHECKPOINT,
                **SUITE,
                "attempts": whole("attempts per problem", 1),
                "seeds": COUNTS["seeds"],
                "n": whole("episodes"),
                "clusters": COUNTS["clusters"],
                **interval("success", percent("episodes whose problems were all solved")),
            },
            f"{STEP_KEY} attempts",
            made_by="rule tables",
            read_by="findings page",
        ),
        "chance": table(
            "One row per run and suite",
            {**RUN, **SUITE, "chance": percent("accuracy of the best constant answer")},
            f"{RUN_KEY} split fold",
            made_by="rule tables",
            read_by="rules claims, reference_pictures; findings page",
        ),
    }
)

ACCURACY_BY_STEP: Final = _accuracy_by_step(
    "rule accuracy_by_step", "the same rule draws the first figure from it"
)
"""`sft_accuracy_by_step.csv`: base and SFT alone, before any RL is done."""

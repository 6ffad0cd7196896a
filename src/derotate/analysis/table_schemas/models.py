# SPDX-License-Identifier: MIT
"""Schemas of what training and surgery did: RL logs, edits, spectra, states and weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pandera.pandas as pa

from derotate.analysis.table_schemas.columns import (
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
    RL_RUN,
    RUN,
    RUN_KEY,
    SPECTRAL_METRIC,
    SUITE,
)

_RL_LOG = table(
    "One row per update of an RL run",
    {
        "update": whole("number of the update, from 1 on"),
        "responses": whole("responses that were sampled"),
        "reward_mean": number("mean reward"),
        "correct_share": percent("correct responses"),
        "zero_variance_share": percent("groups whose rewards are all equal; empty without groups"),
        "loss": number("policy loss"),
        "value_loss": number("value loss; empty without a critic"),
        "entropy": number("mean entropy of the policy", "nats/token"),
        "kl_to_start": number("KL(policy || start) over sampled responses", "nats/token"),
        "response_length": number("mean length, end token included", "tokens", 0),
        **RUN,
        **RL_RUN,
    },
    f"{RUN_KEY} algorithm start update",
    made_by="rule tables",
    read_by="rule figures",
)

_SURGERY = table(
    "One row per edit and direction, against the patient; donor and RL result as references",
    {
        **RUN,
        "direction": text("forward or reverse", ("forward", "reverse")),
        "recipe": text("name of the recipe, or donor, rl_end"),
        "part": text("what is edited: values, directions, rollback, ..."),
        "role": text("recipe, control or reference", ("recipe", "control", "reference")),
        "id_fold": text("ID fold behind id_lost"),
        **interval("id_lost", points("ID accuracy lost"), suffixed=True),
        **interval("ood_gained", points("OOD test accuracy gained"), suffixed=True),
    },
    f"{RUN_KEY} direction recipe",
    made_by="rule tables",
    read_by="rule figures; findings page",
)

_SURGERY_EDITS = table(
    "One row per edit: its size and its distance from a rollback (Frobenius norms)",
    {
        **RUN,
        "operation": text("from-DONOR-into-PATIENT"),
        "recipe": text("name of the recipe"),
        "part": text("what is edited"),
        "amount": number("interpolation amount; 1: the donor"),
        "matched": text("whether the amount that matches norm or loss exists; empty: not matched"),
        "edit_norm": number("norm of the change of the edited matrices", "", 0),
        "donor_distance": number("distance of donor and patient over the edited matrices", "", 0),
        "from_rollback": number("distance of the edited matrices from the donor's", "", 0),
        "patient_loss_difference": number(
            "largest absolute difference of the loaded patient's losses from the recorded ones, "
            "over up to 64 problems",
            "nats/token",
        ),
        "norm_over_donor_distance": number("edit_norm / donor_distance", "", 0),
        "from_rollback_over_donor_distance": number("from_rollback / donor_distance", "", 0),
    },
    f"{RUN_KEY} operation recipe",
    made_by="rule tables",
    read_by="rules claims, figures; findings page; derotate summary",
)


MODELS: Final[Mapping[str, pa.DataFrameSchema]] = MappingProxyType(
    {
        "landmarks": table(
            "One row per run",
            {
                **RUN,
                "max_ood": whole("SFT step of highest OOD accuracy on the selection fold"),
                "sft_end": whole("last SFT step"),
                "rl_end_algorithm": text("algorithm of the RL result; empty without RL"),
                "rl_end_start": whole("SFT step that it starts from", missing=True),
                "rl_end_step": whole("its last update", missing=True),
            },
            RUN_KEY,
            made_by="rule tables",
            read_by="rule claims; findings page",
        ),
        "rl_log": _RL_LOG,
        "rl_first_update": table(
            "One row per RL run: its first update, before any learning",
            {
                **RUN,
                **RL_RUN,
                **{
                    name: _RL_LOG.columns[name]
                    for name in (
                        "update",
                        "correct_share",
                        "zero_variance_share",
                        "reward_mean",
                        "entropy",
                    )
                },
            },
            f"{RUN_KEY} algorithm start",
            made_by="rule tables",
            read_by="rules claims, figures",
        ),
        "advantages": table(
            "One row per RL run and bin of advantages, at its first update",
            {
                "update": whole("number of the update"),
                "bin_low": number("lower edge of the bin"),
                "bin_high": number("upper edge of the bin"),
                "count": whole("responses in the bin"),
                **RUN,
                **RL_RUN,
                "share": percent("responses in the bin"),
            },
            f"{RUN_KEY} algorithm start bin_low",
            made_by="rule tables",
            read_by="rule figures",
        ),
        "surgery": _SURGERY,
        "surgery_edits": _SURGERY_EDITS,
        "spectra": table(
            "One row per pair of checkpoints, kind of matrix, metric and band of indices",
            {
                **RUN,
                "pair": text("DONOR-to-PATIENT, checkpoints"),
                **SPECTRAL_METRIC,
                "band": text(
                    "all; top: the leading fifth; outer: first and last tenth minus the rest",
                    ("all", "top", "outer"),
                ),
                "value": number("mean over the band of means over layers", "unit of the metric"),
                "largest": number(
                    "the same of the largest absolute value of any layer", "unit of the metric"
                ),
            },
            f"{RUN_KEY} pair kind against metric fraction band",
            made_by="rule tables",
            read_by="rule claims",
        ),
        "spectra_by_index": table(
            "One row per kind of matrix, metric and index, of the pair max_ood to sft_end",
            {
                **SPECTRAL_METRIC,
                "index": whole("place in the spectrum; 0: the largest singular value"),
                "runs": whole("runs behind the value"),
                "value": number("mean over runs of means over layers", "unit of the metric"),
                "low": number("lowest of any layer and run", "unit of the metric"),
                "high": number("highest of any layer and run", "unit of the metric"),
            },
            "kind against metric fraction index",
            made_by="rule tables",
            read_by="rule figures; derotate explore",
        ),
        "states": table(
            "One row per run, pair or triple of landmarks, suite and metric",
            {
                **RUN,
                "pair": text("LANDMARK:LANDMARK; with a third, how much nearer the last comes"),
                **SUITE,
                "metric": text("metric of hidden states or next tokens"),
                **interval("value", number("the metric", "unit of the metric")),
                "n": whole("prompts", missing=True),
                "p": share("two-sided p-value; empty where nothing is tested"),
            },
            f"{RUN_KEY} pair split fold metric",
            made_by="rule tables",
            read_by="rules claims, figures",
        ),
        "weights": table(
            "One row per run, pair of landmarks, null and metric, over all matrices",
            {
                **RUN,
                "pair": text("LANDMARK:LANDMARK"),
                "against": SPECTRAL_METRIC["against"],
                "metric": text("metric of the change of weights"),
                "fraction": SPECTRAL_METRIC["fraction"],
                "value": number("mean over matrices", "unit of the metric"),
                "low": number("lowest of any matrix", "unit of the metric"),
                "high": number("highest of any matrix", "unit of the metric"),
            },
            f"{RUN_KEY} pair against metric fraction",
            made_by="rule tables",
            read_by="rule figures; findings page",
        ),
    }
)

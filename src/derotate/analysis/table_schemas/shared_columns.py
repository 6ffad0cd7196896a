# SPDX-License-Identifier: MIT
"""Columns that many tables share: run, checkpoint, suite, counts and spectral metric."""

from __future__ import annotations

from typing import Final

from derotate.analysis.table_schemas.columns import number, text, whole

RUN: Final = {
    "base_seed": whole("seed of the base model"),
    "seed": text("seed of SFT and RL; `all`: pooled over the seeds of this base"),
}
SUITE: Final = {
    "split": text("rule or look of the problems, e.g. id or ood"),
    "fold": text("train, selection, test or rl: problems with disjoint clusters"),
}
CHECKPOINT: Final = {
    "stage": text("base, sft, rl, or an arm beside SFT"),
    "algorithm": text("RL algorithm; empty before RL"),
    "step": whole("SFT step, of the start after RL; 0: the base"),
    "update": whole("RL update; 0 before RL"),
}
COUNTS: Final = {
    "seeds": whole("seeds behind the value; 0: the base's own rows"),
    "n": whole("problems, pooled ones once per seed"),
    "clusters": whole("clusters: the number sets, routes or the like that problems share"),
}
RL_RUN: Final = {
    "algorithm": text("grpo, ppo or shuffled (GRPO on shuffled rewards)"),
    "start": whole("SFT step that RL starts from"),
}
RUN_KEY: Final = "base_seed seed"
STEP_KEY: Final = f"{RUN_KEY} stage algorithm step update split fold"
SPECTRAL_METRIC: Final = {
    "kind": text("kind of matrix: q, k, v, o, gate, up or down"),
    "against": text("patient: the pair itself; else the null that takes the patient's place"),
    "metric": text("spectral metric, see `derotate.spectral.rotation`"),
    "fraction": number(
        "share of leading singular vectors that spans the subspace", "a share", 0, 1
    ),
}

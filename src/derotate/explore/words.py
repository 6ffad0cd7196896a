# SPDX-License-Identifier: MIT
"""A live surgery as a table and in sentences that claim no more than the intervals allow."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from derotate.analysis.clustered_intervals import Estimate
from derotate.explore.live import Trial

ID, OOD = ("id", "train"), ("ood", "test")
COLUMNS = ("model", "edit size", "ID train (%)", "OOD test (%)", "OOD change (points)")

_NAMES = {"rollback": "rollback, same matrices", "interpolation": "interpolation, equal norm"}


def table(trials: Mapping[str, Trial], recorded: Mapping[str, Trial]) -> pd.DataFrame:
    """Formatted rows with the columns `COLUMNS`: the trials, then the recorded results.

    Args:
        trials: by name; changes are relative to the trial `patient`.
        recorded: by name, evaluated when the pair was exported.
    """
    patient = trials["patient"]
    rows = [_row(_NAMES.get(name, name), trial, patient) for name, trial in trials.items()]
    rows += [_row(f"{name} (recorded)", trial, patient) for name, trial in recorded.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def sentences(trials: Mapping[str, Trial], recipe: str, clusters: str) -> list[str]:
    """The effect of the surgery, each difference with its 95 % CI.

    Args:
        trials: by name.
        recipe: name of the edited trial.
        clusters: the task's units of hold-out, e.g. number sets.
    """
    patient, edited = trials["patient"], trials[recipe]
    ood_change, id_change = edited.minus(patient, *OOD), edited.minus(patient, *ID)
    ood, learned = patient.accuracy(*OOD), patient.accuracy(*ID)
    lines = [
        f"The patient solves {learned.mean:.1f} % of {learned.n} ID problems of SFT and "
        f"{ood.mean:.1f} % of {ood.n} OOD problems ({ood.clusters} {clusters}).",
        f"{recipe} moves the edited matrices by {edited.norm:.2f} of their distance to the donor. "
        f"OOD accuracy changes by {_change(ood_change)}; ID accuracy changes by "
        f"{_change(id_change)}.",
    ]
    beyond = " (beyond the donor)" if edited.norm > 1 else ""
    for name, control in (
        ("interpolation", f"Interpolation of equal norm{beyond}"),
        ("rollback", "A full rollback of the same matrices"),
    ):
        if name in trials:
            own, difference = trials[name].minus(patient, *OOD), edited.minus(trials[name], *OOD)
            lines.append(
                f"{control} changes OOD accuracy by {_change(own)}; {recipe} minus this control: "
                f"{_change(difference)}."
            )
    return [*lines, _verdict(edited, trials, ood_change)]


def interval(estimate: Estimate) -> str:
    """A mean with its 95 % CI, one decimal."""
    return f"{_digit(estimate.mean)} [{_digit(estimate.low)}, {_digit(estimate.high)}]"


def _verdict(edited: Trial, trials: Mapping[str, Trial], ood_change: Estimate) -> str:
    if ood_change.high < 0:
        return "The surgery reduced OOD accuracy on these problems."
    if ood_change.low <= 0:
        return "The surgery has no detectable effect on these problems."
    controls = [trials[name] for name in _NAMES if name in trials]
    not_exceeded = [control.name for control in controls if edited.minus(control, *OOD).low <= 0]
    gain = "The surgery raised OOD accuracy"
    if not_exceeded:
        return f"{gain}, but not significantly more than {' and '.join(not_exceeded)}."
    return f"{gain}, and significantly more than each control."


def _row(name: str, trial: Trial, patient: Trial) -> tuple[str, ...]:
    is_patient = trial is patient
    return (
        name,
        "" if is_patient or pd.isna(trial.norm) else f"{trial.norm:.2f}",
        interval(trial.accuracy(*ID)),
        interval(trial.accuracy(*OOD)),
        "" if is_patient else interval(trial.minus(patient, *OOD)),
    )


def _change(estimate: Estimate) -> str:
    significant = estimate.low > 0 or estimate.high < 0
    note = "" if significant else ", not significant"
    sign = "+" if round(estimate.mean, 1) > 0 else ""
    ends = f"[{_digit(estimate.low)}, {_digit(estimate.high)}]"
    return f"{sign}{_digit(estimate.mean)} points {ends}{note}"


def _digit(value: float) -> str:
    """One decimal, without a minus before zero."""
    return f"{round(value, 1) + 0.0:.1f}"

# SPDX-License-Identifier: MIT
"""A live surgery as a table and in sentences that go no further than the intervals."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from derotate.analysis.clustered_intervals import Estimate
from derotate.explore.live import Trial

LEARNED, OOD = ("id", "train"), ("ood", "test")
COLUMNS = ("model", "edit size", "ID, learned (%)", "OOD, test (%)", "OOD change (points)")

_NAMES = {"rollback": "rollback, same matrices", "interpolation": "interpolation, same size"}


def table(trials: Mapping[str, Trial], recorded: Mapping[str, Trial]) -> pd.DataFrame:
    """Texts for a reader, columns `COLUMNS`: the trials, then what was recorded of others.

    Args:
        trials: by name; the patient is one of them, and changes are against it.
        recorded: by name, answered at another time.
    """
    patient = trials["patient"]
    rows = [_row(_NAMES.get(name, name), trial, patient) for name, trial in trials.items()]
    rows += [_row(f"{name}, as recorded", trial, patient) for name, trial in recorded.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def sentences(trials: Mapping[str, Trial], recipe: str, clusters: str) -> list[str]:
    """What the surgery did, each difference with its 95 % interval.

    Args:
        trials: by name.
        recipe: name of the trial that the sentences are about.
        clusters: what the task calls its units of hold-out, e.g. number sets.
    """
    patient, edited = trials["patient"], trials[recipe]
    gained, cost = edited.minus(patient, *OOD), edited.minus(patient, *LEARNED)
    before, learned = patient.accuracy(*OOD), patient.accuracy(*LEARNED)
    lines = [
        f"The patient solves {learned.mean:.1f} % of {learned.n} ID problems that SFT learned and "
        f"{before.mean:.1f} % of {before.n} OOD problems ({before.clusters} {clusters}).",
        f"{recipe} changes its matrices by {edited.norm:.2f} of their distance to the donor. "
        f"OOD accuracy changes by {_said(gained)}; ID accuracy changes by {_said(cost)}.",
    ]
    past = ", which goes past the donor," if edited.norm > 1 else ""
    for name, what in (
        ("interpolation", f"Plain interpolation by as much{past}"),
        ("rollback", "Putting the donor's matrices back whole"),
    ):
        if name in trials:
            own, more = trials[name].minus(patient, *OOD), edited.minus(trials[name], *OOD)
            lines.append(
                f"{what} changes OOD accuracy by {_said(own)}; {recipe} minus it: {_said(more)}."
            )
    return [*lines, _verdict(edited, trials, gained)]


def interval(estimate: Estimate) -> str:
    """A mean with its interval, one digit."""
    return f"{_digit(estimate.mean)} [{_digit(estimate.low)}, {_digit(estimate.high)}]"


def _verdict(edited: Trial, trials: Mapping[str, Trial], gained: Estimate) -> str:
    if gained.high < 0:
        return "On these problems the surgery hurt."
    if gained.low <= 0:
        return "On these problems the surgery cannot be told from none."
    controls = [trials[name] for name in _NAMES if name in trials]
    unbeaten = [control.name for control in controls if edited.minus(control, *OOD).low <= 0]
    helped = "The surgery helped out of distribution"
    if unbeaten:
        return f"{helped}, but no more, as far as is known, than {' and '.join(unbeaten)}."
    return f"{helped}, and more than its controls."


def _row(name: str, trial: Trial, patient: Trial) -> tuple[str, ...]:
    itself = trial is patient
    return (
        name,
        "" if itself or pd.isna(trial.norm) else f"{trial.norm:.2f}",
        interval(trial.accuracy(*LEARNED)),
        interval(trial.accuracy(*OOD)),
        "" if itself else interval(trial.minus(patient, *OOD)),
    )


def _said(estimate: Estimate) -> str:
    certain = estimate.low > 0 or estimate.high < 0
    doubt = "" if certain else ", which cannot be told from no change"
    sign = "+" if round(estimate.mean, 1) > 0 else ""
    ends = f"[{_digit(estimate.low)}, {_digit(estimate.high)}]"
    return f"{sign}{_digit(estimate.mean)} points {ends}{doubt}"


def _digit(value: float) -> str:
    """One digit after the point, and no minus before zero."""
    return f"{round(value, 1) + 0.0:.1f}"

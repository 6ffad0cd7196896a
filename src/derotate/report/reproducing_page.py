# SPDX-License-Identifier: MIT
"""The page on reproducing the study: the context of the template reproducing.md.j2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path
from typing import Any, Final

import pandas as pd

from derotate.published import as_tables as theirs
from derotate.published import numbers as published
from derotate.report.format import NOTHING, estimate, number
from derotate.report.markdown import link, relative, table
from derotate.report.sources import Sources
from derotate.report.templates import render
from derotate.report.verdict_tables import Judged, digits, judged

_BUDGET: Final = {
    "stage": "stage",
    "took_minutes": "job time (min)",
    "wall_minutes": "wall-clock time (min)",
    "jobs": "jobs",
    "peak_memory_mb": "peak memory of a job (MB)",
}
_PACKAGES: Final = ("python", "torch", "transformers", "trl", "snakemake")


@dataclass(frozen=True)
class Row:
    """A claim with the value and the tolerance to compare a new run with.

    Attributes:
        claim: with its verdict.
        value: effect and CI of the deciding part; empty if it has no effect.
        tolerance: of the effect.
        has_study: whether a study of today can test it.
    """

    claim: Judged
    value: str
    tolerance: str
    has_study: bool


@dataclass(frozen=True)
class ReproducingPage:
    """Numbers and tables of the page; empty or None where nothing was recorded."""

    name: str
    cores: int
    paths: Mapping[str, str]
    has_phase: bool
    minutes: str
    wall_minutes: str
    machine: str
    versions: str
    started: str
    commit: str
    budget: str
    rows: list[Row]
    published: str


def reproducing(sources: Sources) -> str:
    """The whole page, as Markdown."""
    return render("reproducing.md.j2", vars(reproducing_page(sources)))


def reproducing_page(sources: Sources) -> ReproducingPage:
    """Numbers and tables of the page."""
    files, machine = sources.files, sources.environment
    paths = {
        "config": Path("config", f"{sources.study}.yaml"),
        "study": files.study,
        "claims": files.study / "claims.csv",
        "parts": files.study / "claim_parts.csv",
    }
    minutes, wall_minutes = _minutes(sources)
    return ReproducingPage(
        name=sources.study,
        cores=machine.get("cores", 2),
        paths={name: relative(path, files.page) for name, path in paths.items()},
        has_phase="phase" in sources.tables,
        minutes=minutes,
        wall_minutes=wall_minutes,
        machine=_machine(machine),
        versions=", ".join(f"{name} {machine[name]}" for name in _PACKAGES if machine.get(name)),
        started=str(machine.get("started") or "")[:10],
        commit=str(machine.get("commit") or ""),
        budget=_budget(sources),
        rows=[_row(claim) for claim in judged(sources).values()],
        published=_published(sources),
    )


def _machine(environment: Mapping[str, Any]) -> str:
    if not environment:
        return ""
    cores, processor = environment.get("cores"), environment.get("processor")
    return f"{cores} cores of {processor or 'an unnamed processor'}"


def _minutes(sources: Sources) -> tuple[str, str]:
    """Job time and wall-clock time of the study and of those of other tasks, summed."""
    budgets = [own.get("budget") for own in (sources.tables, *sources.others.values())]
    known = [budget[budget["stage"] == "all"] for budget in budgets if budget is not None]
    if len(known) < len(budgets) or not all(map(len, known)):
        return "", ""
    totals = pd.concat(known)
    minutes, wall_minutes = (
        number(totals[name].sum(), 0) if all(name in own for own in known) else ""
        for name in ("took_minutes", "wall_minutes")
    )
    return minutes, wall_minutes


def _budget(sources: Sources) -> str:
    budget = sources.tables.get("budget")
    if budget is None:
        return ""
    known = [name for name in _BUDGET if name in budget.columns]
    rows = [
        [row[name] if name == "stage" else number(row[name], 0) for name in known]
        for _, row in budget.iterrows()
    ]
    return table([_BUDGET[name] for name in known], rows)


def _row(claim: Judged) -> Row:
    row, untested = claim.row, claim.claim.not_testable is not None
    places = digits(row)
    value = (
        f"{row['part']}: {estimate(row['effect'], row['low'], row['high'], places)} {row['unit']}"
        if claim.estimated
        else ""
    )
    has_study = claim.estimated or claim.verdict != "not testable" or not untested
    return Row(claim, value, tolerance(row), has_study)


def tolerance(row: pd.Series) -> str:
    """Half the width of the CI of the difference of two studies like this one."""
    half = (row["high"] - row["low"]) / sqrt(2)
    if pd.isna(half) or not isfinite(half):
        return NOTHING
    return f"{number(half, digits(row))} {row['unit']}"


def _published(sources: Sources) -> str:
    """How many numbers of the papers bear on each claim, and where they are."""
    files = sources.files
    numbers = published.load_all(files.published)
    rows = []
    for claim in sources.claims:
        quoted = theirs.quotes(numbers, claim.id)
        tables = [
            link(f"{subject}.csv", files.published / f"{subject}.csv", files.page)
            for subject in dict.fromkeys(quoted["subject"])
        ]
        rows.append((claim.id, claim.source, len(quoted), ", ".join(tables) or NOTHING))
    return table(["claim", "source", "published values", "tables"], rows)

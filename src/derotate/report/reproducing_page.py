# SPDX-License-Identifier: MIT
"""The page on reproducing: for each claim what to run, what it takes, and what to compare."""

from __future__ import annotations

from math import isfinite, sqrt
from pathlib import Path
from typing import Final

import pandas as pd

from derotate.published import as_tables as theirs
from derotate.published import numbers as published
from derotate.report.findings_page import MADE
from derotate.report.format import NOTHING, anchor, interval, link, number, table
from derotate.report.sources import Sources

_RUN: Final = ".venv/bin/derotate run -- {target}--profile local --cores {cores}"
_UNRECORDED: Final = "not recorded"
_ONE_DIGIT: Final = ("points", "percent", "degrees")


def reproducing(sources: Sources) -> str:
    """The whole page, as Markdown."""
    blocks = [
        MADE,
        "# Reproducing",
        *_how(sources),
        *_costs(sources),
        *_claims(sources),
        *_papers(sources),
    ]
    return "\n\n".join(blocks) + "\n"


def command(sources: Sources) -> str:
    """What makes the tables of the study anew."""
    return _command(sources, sources.study)


def _command(sources: Sources, study: str, target: str = "") -> str:
    cores = sources.environment.get("cores", 2)
    return f"{_RUN.format(target=target, cores=cores)} --configfile config/{study}.yaml"


def hardware(sources: Sources) -> str:
    """Machine and versions of the last run, or that they were not recorded."""
    known = sources.environment
    if not known:
        return _UNRECORDED
    machine = f"{known.get('cores')} cores of {known.get('processor') or 'an unnamed processor'}"
    versions = [
        f"{name} {known[name]}"
        for name in ("python", "torch", "transformers", "trl", "snakemake")
        if known.get(name)
    ]
    return ", ".join([machine, *versions])


def minutes(sources: Sources) -> tuple[str, str]:
    """Minutes of all jobs of the study and those beside it added up, and on the clock."""
    budgets = [own.get("budget") for own in (sources.tables, *sources.others.values())]
    known = [budget[budget["stage"] == "all"] for budget in budgets if budget is not None]
    if len(known) < len(budgets) or not all(map(len, known)):
        return _UNRECORDED, _UNRECORDED
    every = pd.concat(known)
    took, wall = (
        number(every[name].sum(), 0) if all(name in own for own in known) else _UNRECORDED
        for name in ("took_minutes", "wall_minutes")
    )
    return took, wall


def _how(sources: Sources) -> list[str]:
    took, wall = minutes(sources)
    rows = [
        ("the pages, tables and figures again, from the committed tables", "`make figures`",
         "under a minute, nothing is trained"),
        ('<a id="study"></a>the study anew, all claims at once', f"`{command(sources)}`",
         _time(took, wall)),
        ("a new run beside the reference", "`make compare`", "seconds"),
        *_phase_row(sources),
    ]  # fmt: skip
    started = sources.environment.get("started")
    when = f" It was last started on {str(started)[:10]}." if started else ""
    commit = sources.environment.get("commit")
    code = f" Code: commit `{commit}`." if commit else ""
    config = Path("config", f"{sources.study}.yaml")
    page = sources.files.page
    return [
        "A study is one config file and one command. It may be stopped and goes on with the same "
        f"command. The reference study is {link(str(config), config, page)}; its tables lie in "
        f"{link('this folder', sources.files.study, page)}, what it found in "
        f"{link('findings.md', page.with_name('findings.md'), page)}.",
        table(["to make", "command", "time"], rows),
        f"Hardware of the reference study: {hardware(sources)}.{when}{code}",
        "**What to expect.** On the same machine with the same lock file: every digit. Elsewhere "
        "floating-point sums round otherwise, which makes other runs of the same seeds; they are "
        "to agree within the tolerance below, as other seeds do. It is half the width of the "
        "interval of the difference of two such studies: that of one study times the root of two.",
    ]


def _phase_row(sources: Sources) -> list[tuple[str, str, str]]:
    if "phase" not in sources.tables:
        return []
    made = "the phase diagram, then its `phase.csv` copied to that folder"
    return [(made, f"`{_command(sources, 'phase', 'phase_diagram ')}`", _UNRECORDED)]


def _time(took: str, wall: str) -> str:
    if took == _UNRECORDED:
        return _UNRECORDED
    return f"{took} minutes of jobs, {wall} on the clock"


def _costs(sources: Sources) -> list[str]:
    heading = "## What each stage took"
    budget = sources.tables.get("budget")
    if budget is None:
        return [heading, "Not recorded: budget.csv is missing."]
    columns = {
        "stage": "stage", "took_minutes": "minutes of jobs", "wall_minutes": "minutes on the clock",
        "jobs": "jobs", "peak_memory_mb": "memory of the largest job (MB)",
    }  # fmt: skip
    known = [name for name in columns if name in budget.columns]
    rows = [
        [row[name] if name == "stage" else number(row[name], 0) for name in known]
        for _, row in budget.iterrows()
    ]
    return [
        heading,
        "Measured, not scaled: what shared the machine with a study made its jobs longer.",
        table([columns[name] for name in known], rows),
    ]


def _claims(sources: Sources) -> list[str]:
    page, study = sources.files.page, sources.files.study
    known = table(
        ["claim", "config", "command", "time and hardware", "output", "row", "reference value",
         "tolerance"],
        [_row(sources, row) for _, row in sources.verdicts.iterrows()],
    )  # fmt: skip
    needs = [(claim.id, "; ".join(claim.needs)) for claim in sources.claims]
    return [
        "## Claim by claim",
        "The reference value is that of the part that decides (all parts: "
        f"{link('claim_parts.csv', study / 'claim_parts.csv', page)}).",
        known,
        "What each is computed from:",
        table(["claim", "cells"], needs),
    ]


def _row(sources: Sources, row: pd.Series) -> list[str]:
    page, study = sources.files.page, sources.files.study
    name = f"[{row['claim']}](findings.md#{anchor(row['claim'])}) {row['title']}"
    if row["verdict"] == "not testable" and pd.isna(row["effect"]) and _waits(sources, row):
        return [name, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, _without(row), NOTHING]
    took, _ = minutes(sources)
    time = took if took == _UNRECORDED else f"{took} minutes of jobs"
    machine = hardware(sources)
    where = _UNRECORDED if machine == _UNRECORDED else machine.split(",", 1)[0]
    config = Path("config", f"{sources.study}.yaml")
    table_of = link("claims.csv", study / "claims.csv", page)
    return [
        name,
        link(str(config), config, page),
        "[the study](#study)",
        time if time == where else f"{time}; {where}",
        table_of,
        f"claim = {row['claim']}",
        _without(row) if pd.isna(row["effect"]) else _reference(row),
        tolerance(row),
    ]


def _waits(sources: Sources, row: pd.Series) -> bool:
    """Whether no study of today can test the claim."""
    return any(
        claim.id == row["claim"] and claim.not_testable is not None for claim in sources.claims
    )


def _without(row: pd.Series) -> str:
    """Why there is no value; findings.md names the cells that are missing."""
    reason = str(row["reason"])
    why = "cells are missing, named there" if reason.startswith("missing") else reason
    return f"{row['verdict']}: {why or 'no reason was given'}"


def _reference(row: pd.Series) -> str:
    digits = _digits(row)
    return (
        f"{row['verdict']}; {row['part']}: {number(row['effect'], digits)} "
        f"{interval(row['low'], row['high'], digits)} {row['unit']}"
    )


def tolerance(row: pd.Series) -> str:
    """Half the width of the interval of the difference of two studies like this one."""
    half = (row["high"] - row["low"]) / sqrt(2)
    if pd.isna(half) or not isfinite(half):
        return NOTHING
    return f"{number(half, _digits(row))} {row['unit']}"


def _digits(row: pd.Series) -> int:
    return 1 if row["unit"] in _ONE_DIGIT else 2


def _papers(sources: Sources) -> list[str]:
    numbers = published.load_all(sources.files.published)
    rows = []
    for claim in sources.claims:
        quoted = theirs.quotes(numbers, claim.id)
        files = [
            link(f"{subject}.csv", sources.files.published / f"{subject}.csv", sources.files.page)
            for subject in dict.fromkeys(quoted["subject"])
        ]
        rows.append((claim.id, claim.source, len(quoted), ", ".join(files) or NOTHING))
    return [
        "## What the papers print",
        "Their numbers are of other models, other problems and one run each: they stand here for "
        "comparison, not as targets.",
        table(["claim", "source", "published values", "where"], rows),
    ]

# SPDX-License-Identifier: MIT
"""The findings page: sections in the order in which a newcomer asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pandas as pd

from derotate.claims.cells import MissingCells, study_runs
from derotate.report.diagnostics import diagnostics, phase
from derotate.report.format import counted, details, frame, link, listed, sentence, table
from derotate.report.healing import edits, rl_by_start, rollback_in_disguise
from derotate.report.overview import opening, short_answer
from derotate.report.papers import released_spectra, stages
from derotate.report.sources import Sources
from derotate.report.tasks import side_by_side
from derotate.report.verdict_tables import by_verdict, decisions

MADE: Final = "<!-- Made by the rule `findings` from tables: change those, not this page. -->"
WHEN: Final = {
    "before": "before the claims were stated",
    "interim": "before the study was complete",
    "after": "after the claims were stated",
}
"""When something was seen or changed, in words."""


def findings(sources: Sources) -> str:
    """The whole page, as Markdown."""
    blocks = [
        MADE,
        "# Findings",
        *opening(sources),
        *short_answer(sources),
        *_figures(sources, ("sft_and_rl", "surgery")),
        *decisions(sources),
        *by_verdict(sources),
        *side_by_side(sources),
        *_figures(sources, ("tasks",)),
        *rl_by_start(sources),
        *edits(sources),
        *diagnostics(sources),
        *phase(sources),
        *stages(sources),
        *released_spectra(sources),
        *tests(sources),
        *_more_figures(sources),
        *limits(sources),
        *deviations(sources),
        *origin(sources),
    ]
    return "\n\n".join(blocks) + "\n"


def _figures(sources: Sources, names: tuple[str, ...]) -> list[str]:
    drawn = {path.stem: path for path in sources.files.figures}
    return [
        f"![{name.replace('_', ' ')}]({_relative(drawn[name], sources)})\n\n"
        f"*{sources.wording.figures.get(name, sentence(name.replace('_', ' ')))}*"
        for name in names
        if name in drawn
    ]


def _more_figures(sources: Sources) -> list[str]:
    """All figures but those above, in the order of their captions."""
    drawn = {path.stem for path in sources.files.figures}
    above = ("sft_and_rl", "surgery", "tasks")
    order = [*sources.wording.figures, *sorted(drawn - set(sources.wording.figures))]
    blocks = _figures(sources, tuple(name for name in order if name not in above))
    if not drawn:
        return ["## Figures", "No figure was drawn from these tables."]
    return ["## More figures", *blocks] if blocks else []


def tests(sources: Sources) -> list[str]:
    """How often the tests themselves are wrong, and how often they find what is there."""
    heading = "## Are the tests themselves sound?"
    found = sources.calibration
    if found is None:
        return [heading, f"Not shown: {sources.files.calibration.name} is missing."]
    text = (
        "Each kind of test was run on simulated studies, through the same code as the verdicts: "
        "where nothing is there it may rarely say so, where something is there it must mostly find "
        "it. Bounds are exact."
    )
    return [heading, " ".join([text, *_passed(found)]), frame(found)]


def _passed(found: pd.DataFrame) -> list[str]:
    """Whether each test keeps its limit, if the table says so."""
    if "passed" not in found.columns:
        return []
    failed = found[found["passed"].astype(str) != "True"]
    if failed.empty:
        return ["Every test keeps its limit."]
    names = [
        f"{row.get('test', 'a test')} ({row.get('truth', 'unnamed')})"
        for _, row in failed.iterrows()
    ]
    return [f"Beyond its limit: {listed(names)}."]


def limits(sources: Sources) -> list[str]:
    """What this study cannot say."""
    try:
        bases = counted(study_runs(sources.tables)["base_seed"].nunique(), "base")
    except MissingCells:
        bases = "few bases"
    model = sources.config.get("model", {})
    size = (
        f" (a Llama of {model['layers']} layers of width {model['hidden_size']}, trained here)"
        if {"layers", "hidden_size"} <= set(model)
        else ", trained here"
    )
    items = [
        f"The model is very small{size}. What holds here is a mechanism that may be looked for in "
        "larger models, not a statement about them.",
        f"{sentence(bases)[:-1]}: intervals speak about other seeds on the same, not about another "
        "base.",
        f"{_tasks(sources)} The base has met all sets of numbers in pretraining, as plain sums; "
        "what is held out is held out of fine-tuning.",
        "No run on a GPU was made, and none at the papers' size.",
        " ".join(
            ["What an edit restores counts only beside its controls: it may be a rollback in "
             "disguise.", *rollback_in_disguise(sources)]
        ),
    ]  # fmt: skip
    return ["## Limits", "\n".join(f"- {item}" for item in items)]


def _tasks(sources: Sources) -> str:
    if not sources.others:
        return "One task."
    return f"One task in full, {counted(len(sources.others), 'other')} with a smaller grid."


def deviations(sources: Sources) -> list[str]:
    """The claims' digest, whether they were changed since, and what else a reader must know."""
    stated = sources.deviations.stated
    same = stated.digest == sources.digest
    claims = link("claims.yaml", sources.files.claims, sources.files.page)
    changed = (
        "they are unchanged"
        if same
        else f"they have been changed since (the digest was `{stated.digest}`), see below"
    )
    text = (
        f"The claims, their statistics and their thresholds are data ({claims}, digest "
        f"`{sources.digest}`). They were stated on {stated.date.isoformat()}, before the reference "
        f"study ran; {changed}."
    )
    rows = [
        (item.date.isoformat(), WHEN[item.when], item.what, item.why, ", ".join(item.claims))
        for item in sources.deviations.deviations
    ]  # fmt: skip
    columns = ["date", "seen or changed", "what", "why", "claims"]
    body = table(columns, rows) if rows else "No deviation."
    return ["## What was fixed beforehand, and what was not", text, body]


def origin(sources: Sources) -> list[str]:
    """Where the numbers come from, and which tables were not there."""
    page, study = sources.files.page, sources.files.study
    present = sorted(study.glob("*.csv"))
    absent = [f"{name}.csv" for name in OPTIONAL if not (study / f"{name}.csv").is_file()]
    text = (
        "How to make these numbers again, with what tolerance: "
        f"{link('reproducing.md', page.with_name('reproducing.md'), page)}."
    )
    missing = (
        f" Not in this study's folder, so nothing on this page rests on them: {listed(absent)}."
        if absent
        else ""
    )
    names = ", ".join(link(path.name, path, page) for path in present)
    return ["## Where the numbers come from", text + missing, details("The tables", names)]


OPTIONAL: Final = (
    "accuracy_by_step", "arms_by_step", "claims", "claim_parts", "contrasts", "errors_by_step",
    "phase", "picks", "rl_first_update", "spectra", "stages", "states", "surgery",
    "surgery_edits", "weights",
)  # fmt: skip
"""Tables that a study may have."""


def _relative(path: Path, sources: Sources) -> str:
    return os.path.relpath(path, sources.files.page.parent).replace(os.sep, "/")

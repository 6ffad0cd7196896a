# SPDX-License-Identifier: MIT
"""The findings page: the context of the template findings.md.j2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from derotate.analysis.run_level_inference import LEVEL, POWER
from derotate.report import diagnostics, edit_table, headline, papers, rl_table, verdict_tables
from derotate.report.diagnostics import Phase
from derotate.report.markdown import frame, relative
from derotate.report.sources import Files, Sources
from derotate.report.tasks import SideBySide, side_by_side
from derotate.report.templates import render
from derotate.report.wording import Deviation, Stated

OPTIONAL: Final = (
    "accuracy_by_step", "arms_by_step", "claims", "claim_parts", "contrasts", "errors_by_step",
    "phase", "picks", "rl_first_update", "spectra", "stages", "states", "surgery",
    "surgery_edits", "weights",
)  # fmt: skip
"""Tables that a study may lack."""


@dataclass(frozen=True)
class FindingsPage:
    """Numbers and tables of the page; a table is Markdown, empty where nothing was measured."""

    files: Files
    study: headline.Study
    effects: headline.Headline
    power: headline.Power
    claims: Mapping[str, verdict_tables.Judged]
    groups: list[verdict_tables.Group]
    parts: str
    problems_exhausted: bool
    minutes_of_jobs: float | None
    tasks: SideBySide | None
    rl: str
    arms: list[rl_table.Arm]
    edits: str
    rollback: edit_table.RollbackDistance | None
    diagnostics: str
    phase: Phase | None
    stages: papers.Stages
    spectra: papers.ReleasedSpectra | None
    calibration: str
    failed_tests: list[str] | None
    drawn: Mapping[str, str]
    summaries: Mapping[str, str]
    model: Mapping[str, Any]
    others: int
    digest: str
    stated: Stated
    deviations: tuple[Deviation, ...]
    paths: Mapping[str, str]
    present: Mapping[str, str]
    absent: list[str]
    confidence: float = 1 - LEVEL
    confidence_of_equivalence: float = 1 - 2 * LEVEL
    target_power: float = POWER


def findings(sources: Sources) -> str:
    """The whole page, as Markdown."""
    return render("findings.md.j2", {**vars(findings_page(sources)), "cited": sources.cited})


def findings_page(sources: Sources) -> FindingsPage:
    """Numbers and tables of the page."""
    files, tables = sources.files, sources.tables
    claims = verdict_tables.judged(sources)
    drawn = {path.stem: relative(path, files.page) for path in files.figures}
    return FindingsPage(
        files=files,
        study=headline.study(sources),
        effects=headline.headline(tables),
        power=headline.power(sources.verdicts),
        claims=claims,
        groups=verdict_tables.groups(claims),
        parts=verdict_tables.parts_table(sources.parts),
        problems_exhausted=verdict_tables.problems_exhausted(sources),
        minutes_of_jobs=verdict_tables.minutes_of_jobs(sources),
        tasks=side_by_side(sources),
        rl=rl_table.rl_by_start(tables),
        arms=rl_table.arms(tables),
        edits=edit_table.edits(tables),
        rollback=edit_table.rollback_distance(tables),
        diagnostics=diagnostics.diagnostics(tables),
        phase=diagnostics.phase(tables),
        stages=papers.stages(sources),
        spectra=papers.released_spectra(files),
        calibration="" if sources.calibration is None else frame(sources.calibration),
        failed_tests=_failed(sources.calibration),
        drawn=drawn,
        summaries={name: caption.summary for name, caption in sources.captions.items()},
        model=sources.config.get("model", {}),
        others=len(sources.others),
        digest=sources.digest,
        stated=sources.deviations.stated,
        deviations=sources.deviations.deviations,
        paths={"claims": relative(files.claims, files.page)},
        present={
            path.name: relative(path, files.page) for path in sorted(files.study.glob("*.csv"))
        },
        absent=[f"{name}.csv" for name in OPTIONAL if not (files.study / f"{name}.csv").is_file()],
    )


def _failed(calibration: pd.DataFrame | None) -> list[str] | None:
    """Tests outside their limit; None if the table does not say."""
    if calibration is None or "passed" not in calibration.columns:
        return None
    failed = calibration[calibration["passed"].astype(str) != "True"]
    return [
        f"{row.get('test', 'a test')} ({row.get('truth', 'unnamed')})"
        for _, row in failed.iterrows()
    ]

# SPDX-License-Identifier: MIT
"""From the tables of a study to one number per run: the effect that a claim is about.

A missing cell is named, and its run is never skipped: leaving out runs that failed would be
selection on the outcome. `landmarks.csv` says which runs there are.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from derotate.analysis.select_rows import POOLED
from derotate.claims.cells import (
    RL_END,
    RUN,
    MissingCells,
    Tables,
    matches,
    rl_end,
    study_runs,
    table_of,
    words,
)
from derotate.claims.run_statistic import RunStatistic
from derotate.claims.schema import Cells, Term


@dataclass(frozen=True)
class Effects:
    """The effect of each run.

    Attributes:
        runs: base_seed, seed, effect.
        problem_errors: cluster-robust standard error of the mean over the runs of each base; None
            if unknown.
        n: problems behind the effect of a run; 0 where it is not counted in problems.
        clusters: clusters of these problems; 0 likewise.
        support: smallest and largest possible effect, None if unbounded.
    """

    runs: pd.DataFrame
    problem_errors: Mapping[int, float] | None = None
    n: int = 0
    clusters: int = 0
    support: tuple[float, float] | None = None


def effects(statistic: Cells | RunStatistic, tables: Tables) -> Effects:
    """The effect of each run.

    Raises:
        MissingCells: a run lacks cells of the statistic.
        ValueError: several rows match where one is meant.
    """
    if isinstance(statistic, Cells):
        return sums(statistic.terms, tables)
    return _by_run(statistic, tables)


def sums(terms: Sequence[Term], tables: Tables) -> Effects:
    """Weighted sum of one cell per term.

    The standard errors of the terms are added: that bounds the standard error of the sum whatever
    their dependence.

    Raises:
        MissingCells: some runs lack a cell.
        ValueError: several rows of a run match a term.
    """
    runs = study_runs(tables)[RUN]
    parts: list[Effects] = []
    missing: list[str] = []
    for term in terms:
        try:
            parts.append(_term(term, tables, runs))
        except MissingCells as error:
            missing += error.cells
    if missing:
        raise MissingCells(missing)
    pairs = [(term.weight, part) for term, part in zip(terms, parts, strict=True)]
    known = [part.problem_errors for part in parts if part.problem_errors is not None]
    errors = None
    if len(known) == len(parts):
        errors = {
            base: sum(abs(term.weight) * own[base] for term, own in zip(terms, known, strict=True))
            for base in known[0]
        }
    bounded = all(term.table == "contrasts" and term.column == "points" for term in terms)
    reach = 100.0 * sum(abs(term.weight) for term in terms)
    return Effects(
        runs=runs.assign(effect=sum(weight * part.runs["effect"] for weight, part in pairs)),
        problem_errors=errors,
        n=min(part.n for part in parts),
        clusters=min(part.clusters for part in parts),
        support=(-reach, reach) if bounded else None,
    )


def treatments(cells: Cells, tables: Tables) -> list[tuple[str, Cells]]:
    """The statistic for each treatment that matches its pattern (as for file names), by name.

    Raises:
        MissingCells: there is no such treatment.
    """
    patterns = [term for term in cells.terms if _is_pattern(term)]
    if not patterns:
        return [("", cells)]
    first = patterns[0]
    rest = {key: value for key, value in first.where.items() if key != "treatment"}
    table = table_of(tables, first.table, [*rest, "treatment"])
    known = table[matches(table, rest)]["treatment"].unique()
    names = sorted(fnmatch.filter(known, str(first.where["treatment"])))
    if not names:
        raise MissingCells([f"{first.table}.csv: {words(first.where)}"])
    return [
        (name, Cells(terms=tuple(_with_treatment(term, name) for term in cells.terms)))
        for name in names
    ]


def _is_pattern(term: Term) -> bool:
    return "*" in str(term.where.get("treatment", ""))


def _with_treatment(term: Term, treatment: str) -> Term:
    if not _is_pattern(term):
        return term
    return term.model_copy(update={"where": {**term.where, "treatment": treatment}})


def _term(term: Term, tables: Tables, runs: pd.DataFrame) -> Effects:
    """One cell per run."""
    table = table_of(tables, term.table, [*RUN, *term.where, term.column])
    where = {key: rl_end(tables) if value == RL_END else value for key, value in term.where.items()}
    rows = table[matches(table, where)]
    keys = list(zip(rows["base_seed"], rows["seed"].astype(str), strict=True))
    place = {key: number for number, key in enumerate(keys)}
    if len(place) < len(keys):
        raise ValueError(
            f"{term.table}.csv: {words(where)} fits several rows of a run; the claim must "
            "name more columns"
        )
    wanted = list(zip(runs["base_seed"], runs["seed"], strict=True))
    values = rows[term.column].to_numpy(dtype=float)
    lacking = [key for key in wanted if key not in place or not np.isfinite(values[place[key]])]
    if lacking:
        raise MissingCells(
            [f"{term.table}.csv: {words(where)}, base {base} seed {seed}" for base, seed in lacking]
        )
    own = [place[key] for key in wanted]
    n, clusters = (
        int(rows[name].to_numpy()[own].min()) if name in rows else 0 for name in ("n", "clusters")
    )
    errors = None
    if clusters > 1 and "standard_error" in rows:
        errors = _problem_errors(place, wanted, rows["standard_error"].to_numpy(dtype=float))
    return Effects(runs.assign(effect=values[own]), errors, n, clusters)


def _problem_errors(
    place: Mapping[tuple[int, str], int],
    runs: Sequence[tuple[int, str]],
    standard_errors: NDArray[np.float64],
) -> dict[int, float] | None:
    """By base: that of its pooled row, else the mean over its runs, which is an upper bound."""
    errors = {}
    for base in {base for base, _ in runs}:
        pooled = place.get((base, POOLED))
        own = [place[run] for run in runs if run[0] == base] if pooled is None else [pooled]
        errors[int(base)] = float(standard_errors[own].mean())
    return errors if np.isfinite(list(errors.values())).all() else None


def _by_run(statistic: RunStatistic, tables: Tables) -> Effects:
    """The statistic of each run; every run that lacks cells is named."""
    runs = study_runs(tables)
    values: list[float] = []
    missing: list[str] = []
    for run in runs.to_dict("records"):
        try:
            values.append(statistic.value(tables, {str(key): field for key, field in run.items()}))
        except MissingCells as error:
            missing += error.cells
    if missing:
        raise MissingCells(missing)
    bound = statistic.bound
    support = None if bound is None else (-bound, bound)
    return Effects(runs[RUN].assign(effect=values), support=support)

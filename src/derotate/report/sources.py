# SPDX-License-Identifier: MIT
"""Inputs of the pages: tables of a study, claims, wording, captions and published numbers.

A table may be absent: the pages then say that it is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

import pandas as pd
import yaml
from pandera.pandas import DataFrameSchema

from derotate.analysis.table_schemas import derived, study
from derotate.analysis.table_schemas.reading import read_table, read_tables, require_columns
from derotate.claims import schema as stated
from derotate.claims.cells import Tables
from derotate.claims.schema import Claim
from derotate.claims.verdicts import COLUMNS, PART_COLUMNS, Verdict
from derotate.figures.captions import Caption, load_captions
from derotate.report.markdown import anchor
from derotate.report.wording import Deviations, Wording, load_deviations, load_wording

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
SCHEMAS: Final[Mapping[str, DataFrameSchema]] = MappingProxyType(
    {
        "claims": derived.CLAIMS,
        "claim_parts": derived.CLAIM_PARTS,
        "budget": derived.BUDGET,
        "phase": derived.PHASE,
        **{name: study.SCHEMAS[name] for name in ("surgery", "weights", "episodes")},
    }
)
"""Tables of a study that the pages show beside those that claims are judged by."""
_TEXTS: Final = ("part", "test", "unit", "adjustment", "reason")


@dataclass(frozen=True)
class Files:
    """Paths of the inputs.

    Attributes:
        page: the page that is written; links are relative to it.
        study: folder of the tables of the study; its name is that of the config too.
        calibration: table of the tests' error rates and power.
        published: folder of the papers' numbers.
        reexamination: table of random and trained weights.
        figures: the figures that were drawn.
        others: folders of the tables of studies of other tasks, by task.
        claims: the claims.
        captions: folder of the figures' captions; without it figures have no caption.
        wording: sentences by verdict; None for those of the package.
        deviations: deviations from the claims as stated; None for those of the package.
    """

    page: Path
    study: Path
    calibration: Path
    published: Path
    reexamination: Path
    figures: tuple[Path, ...] = ()
    others: Mapping[str, Path] = field(default_factory=dict)
    claims: Path = stated.CLAIMS
    captions: Path | None = None
    wording: Path | None = None
    deviations: Path | None = None


@dataclass(frozen=True)
class Sources:
    """The inputs, read and checked.

    Attributes:
        files: their paths.
        claims: as stated.
        verdicts: one row per claim, in their order, columns of `verdicts.COLUMNS`.
        parts: one row per part that could be tested.
        tables: of the study, by name.
        others: tables of the studies of other tasks, by task.
        calibration: error rates and power of the tests; None if there is no such table.
        wording: sentences by verdict.
        captions: captions by figure.
        deviations: deviations from the claims as stated.
        environment: machine and versions of the study's last run, empty if not recorded.
        config: the study's config as recorded, empty if it was not.
    """

    files: Files
    claims: tuple[Claim, ...]
    verdicts: pd.DataFrame
    parts: pd.DataFrame
    tables: Tables
    others: Mapping[str, Tables]
    calibration: pd.DataFrame | None
    wording: Wording
    captions: Mapping[str, Caption]
    deviations: Deviations
    environment: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.files.study.name

    @cached_property
    def digest(self) -> str:
        """Digest of the claims."""
        return stated.claims_digest(self.files.claims)

    def verdict(self, claim: str) -> pd.Series:
        """The row of a claim."""
        return self.verdicts.set_index("claim", drop=False).loc[claim]

    def sentence(self, claim: str) -> str:
        """The sentence of a claim for its verdict, and no other."""
        return self.wording.claims[claim].of(self.verdict(claim)["verdict"])

    def cited(self, claim: str) -> str:
        """That sentence with a link to the claim."""
        text = self.sentence(claim).removesuffix(".")
        return f"{text} ([{claim}](#{anchor(claim)}): {self.verdict(claim)['verdict']})."


def read(files: Files) -> Sources:
    """Read and check the inputs of the pages.

    Raises:
        ValueError: a table with impossible values; one line with file, row and column.
    """
    claims = stated.load_claims(files.claims)
    tables = _tables(files.study)
    return Sources(
        files=files,
        claims=claims,
        verdicts=_verdicts(claims, tables.get("claims"), files.study / "claims.csv"),
        parts=tables.get("claim_parts", pd.DataFrame(columns=PART_COLUMNS)),
        tables=tables,
        others={task: _tables(folder) for task, folder in files.others.items()},
        calibration=(
            read_table(files.calibration, derived.CALIBRATION)
            if files.calibration.is_file()
            else None
        ),
        wording=_wording(claims, files),
        captions=load_captions(files.captions) if files.captions else {},
        deviations=load_deviations(files.deviations) if files.deviations else load_deviations(),
        environment=_mapping(files.study / "environment.json"),
        config=_mapping(files.study / "config.yaml"),
    )


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    """All tables of a study that are read here."""
    return read_tables(folder) | {
        name: read_table(folder / f"{name}.csv", schema)
        for name, schema in SCHEMAS.items()
        if (folder / f"{name}.csv").is_file()
    }


def _verdicts(claims: tuple[Claim, ...], found: pd.DataFrame | None, path: Path) -> pd.DataFrame:
    """One row per claim: one that the table lacks is undecided, never left out."""
    table = pd.DataFrame(columns=COLUMNS) if found is None else found
    if found is not None:
        require_columns(table, derived.CLAIMS, str(path))
    rows = {str(row["claim"]): row for row in table.to_dict("records")}
    absent = {"verdict": "undecided", "reason": f"missing: {path.name}: its row"}
    judged = [
        {**rows.get(claim.id, absent), "claim": claim.id, "title": claim.title,
         "primary": claim.primary}
        for claim in claims
    ]  # fmt: skip
    rows_of_claims = pd.DataFrame(judged, columns=COLUMNS)
    return rows_of_claims.assign(
        **{name: rows_of_claims[name].astype(object).fillna("") for name in _TEXTS}
    )


def _wording(claims: tuple[Claim, ...], files: Files) -> Wording:
    wording = load_wording(files.wording) if files.wording else load_wording()
    lacking = [claim.id for claim in claims if claim.id not in wording.claims]
    if lacking:
        raise ValueError(
            f"{files.wording or 'wording.yaml'}: claims: nothing for {', '.join(lacking)}, "
            "expected a sentence for each verdict; add them"
        )
    return wording


def _mapping(path: Path) -> Mapping[str, Any]:
    """A JSON or YAML file of keys; empty if there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise ValueError(f"{path}: not readable ({line}); copy it from the study again") from None
    return values if isinstance(values, dict) else {}

# SPDX-License-Identifier: MIT
"""docs/tables.md and the schemas behind it: every committed table has one, and follows it."""

import re
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest

from derotate.analysis.table_schemas.reading import read_table
from derotate.analysis.table_schemas.study import SCHEMAS
from derotate.claims.schema import CLAIMS
from derotate.report.tables_page import FILES, tables_page
from derotate.stages.figures import DRAWINGS
from derotate.stages.tables import StudyTables
from derotate.study.tables import CLAIM_TABLES, TABLES

ROOT = Path(__file__).parents[3]
BY_FILE = {file: schema for files in FILES.values() for file, schema in files.items()}
COMMITTED = sorted((ROOT / "results" / "reference").rglob("*.csv"))


def test_the_page_is_generated_from_the_schemas() -> None:
    committed = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert committed == tables_page(), "run `make config`"


def test_every_table_of_a_study_has_a_schema_and_a_maker() -> None:
    assert set(SCHEMAS) == set(TABLES)
    assert all(name == "landmarks" or hasattr(StudyTables, name) for name in TABLES)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_committed_table_follows_its_schema(path: Path) -> None:
    folder = f"{path.parent.name}/{path.name}"
    schema = BY_FILE.get(folder) or BY_FILE[path.name]
    table = read_table(path, schema)
    # A log without RL is an empty table without columns.
    assert list(table.columns) == list(schema.columns) or table.empty


def test_readers_of_a_table_are_named() -> None:
    for name in CLAIM_TABLES:
        assert "claims" in SCHEMAS[name].metadata["read_by"], name
    for name in chain.from_iterable(drawing.sources for drawing in DRAWINGS.values()):
        assert name not in SCHEMAS or "figures" in SCHEMAS[name].metadata["read_by"], name


def test_claims_read_tables_that_are_listed() -> None:
    text = CLAIMS.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:- |\{)table: (\w+)", text))
    assert named and named <= set(CLAIM_TABLES)


def test_what_pandas_would_guess_is_read_as_declared(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.csv"
    path.write_text("base_seed,seed,max_ood,sft_end\n1,011,4,8\n", encoding="utf-8")
    table = read_table(path, SCHEMAS["landmarks"])
    assert table["seed"].tolist() == ["011"]
    assert pd.api.types.is_integer_dtype(table["max_ood"])

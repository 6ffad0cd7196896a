# SPDX-License-Identifier: MIT
"""Tables and figures of a study without RL: empty tables have columns, empty texts stay texts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from derotate.analysis.table_schemas.reading import read_tables
from derotate.analysis.table_schemas.study import SCHEMAS
from derotate.stages.figures import drawn
from derotate.stages.tables import write_tables
from derotate.study.tables import TABLES

SFT = pd.DataFrame(
    [
        (1, seed, "sft", "", step, 0, split, fold, 1, 50, 50, 20.0, 10.0, 30.0)
        for seed in ("1", "all")
        for step in (20, 40)
        for split, fold in (("id", "train"), ("id", "test"), ("ood", "test"))
    ],
    columns=list(SCHEMAS["accuracy_by_step"].columns),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tables of a study in which only SFT was evaluated."""
    none = SimpleNamespace(**{name: pd.DataFrame() for name in TABLES})
    none.accuracy_by_step = SFT
    write_tables(none, {}, tmp_path)
    return tmp_path


def test_a_table_without_rows_can_be_read(folder: Path) -> None:
    tables = read_tables(folder)
    assert len(tables["accuracy_by_step"]) == len(SFT)
    assert {name for name, table in tables.items() if len(table)} == {"accuracy_by_step"}
    assert list(tables["rl_first_update"].columns) == list(SCHEMAS["rl_first_update"].columns)


def test_a_study_without_rl_has_no_algorithm(folder: Path) -> None:
    figure = drawn("sft_and_rl", "rank", folder, papers=folder)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "no RL result in this study" in texts

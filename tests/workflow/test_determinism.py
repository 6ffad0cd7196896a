# SPDX-License-Identifier: MIT
"""Runs of the same study give the same bytes."""

from pathlib import Path

import pytest
from checkout import SMOKE, files, run, tables

pytestmark = pytest.mark.slow


def test_two_smoke_runs_from_scratch_agree_in_every_csv(smoked: Path, fresh: Path) -> None:
    assert run(fresh, config=SMOKE)
    assert tables(fresh) == tables(smoked)
    assert files(fresh) == files(smoked)

# SPDX-License-Identifier: MIT
"""An interpolation that has no amount of the wanted ID loss is named, with the number of runs."""

from __future__ import annotations

from io import StringIO

import pandas as pd
import pytest

from derotate.analysis.edit_matches import unmatched

ROWS = """base_seed,seed,recipe,matched
1,11,equal-loss,{}
1,12,equal-loss,True
1,13,equal-loss,{}
1,11,equal-norm,True
1,11,directions-top20,
"""


@pytest.mark.parametrize(
    ("value", "remarks"), [("False", {"equal-loss": "not matched in 2 of 3 runs"}), ("True", {})]
)
def test_runs_without_a_match_are_counted(value: str, remarks: dict[str, str]) -> None:
    for edits in (
        pd.read_csv(StringIO(ROWS.format(value, value))),
        pd.read_csv(StringIO(ROWS.format(value, value)), dtype=str, keep_default_na=False),
    ):
        assert unmatched(edits) == remarks


def test_a_study_without_edits_has_no_remark() -> None:
    assert unmatched(pd.DataFrame(columns=["base_seed", "recipe", "matched"])) == {}
    assert unmatched(pd.DataFrame({"recipe": ["directions-top20"], "matched": [None]})) == {}

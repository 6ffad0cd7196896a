# SPDX-License-Identifier: MIT
"""The claims as data: complete, able to fail, and refused in one line when they are not."""

from pathlib import Path

import pytest
import yaml

from derotate.claims.schema import CLAIMS, claims_digest, load_claims

PRIMARY = {"C1", "C3", "C5", "C11", "C12"}


def broken(tmp_path: Path, **changes: object) -> Path:
    """The first claim alone, with these keys changed."""
    claim = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))["claims"][0] | changes
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [claim]}), encoding="utf-8")
    return path


def test_the_eighteen_claims_of_the_papers_are_there_in_order_and_one_since() -> None:
    assert [claim.id for claim in load_claims()] == [f"C{number}" for number in range(1, 20)]


def test_a_frozen_prompt_is_to_blame_if_varied_ones_keep_what_was_there_to_lose() -> None:
    varied = next(claim for claim in load_claims() if claim.id == "C19")
    above_end, beside_peak = varied.parts
    assert (above_end.null_value, above_end.bar) == (0, 5)
    assert (beside_peak.null_value, beside_peak.bar) == (-2, -2)
    assert [floor.at_least for floor in varied.floors] == [5]


def test_five_claims_are_primary() -> None:
    assert {claim.id for claim in load_claims() if claim.primary} == PRIMARY


def test_every_claim_names_a_source_and_what_it_needs() -> None:
    for claim in load_claims():
        assert "arXiv" in claim.source, claim.id
        assert claim.needs, claim.id


def test_the_claim_that_waits_says_for_what() -> None:
    waiting = {claim.id: claim.not_testable for claim in load_claims() if claim.not_testable}
    assert set(waiting) == {"C18"}
    assert "arm" in str(waiting["C18"])


def test_one_claim_is_about_other_tasks() -> None:
    assert [claim.id for claim in load_claims() if claim.other_tasks] == ["C17"]


def test_nothing_happens_means_within_two_points() -> None:
    values = next(claim for claim in load_claims() if claim.id == "C11")
    assert {(part.test, part.margin) for part in values.parts} == {("equivalent", 2.0)}


def test_directions_are_judged_against_equal_norm_and_equal_loss() -> None:
    directions = next(claim for claim in load_claims() if claim.id == "C12")
    assert {"over_equal_norm", "over_equal_loss"} <= {
        term.where["contrast"]
        for part in directions.parts
        if part.statistic.kind == "cells"
        for term in part.statistic.terms
    }


def test_the_digest_follows_what_is_claimed_not_how_it_is_laid_out(tmp_path: Path) -> None:
    copy = tmp_path / "claims.yaml"
    values = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))
    copy.write_text("# a comment\n" + yaml.safe_dump(values, sort_keys=True), encoding="utf-8")
    assert claims_digest(copy) == claims_digest()
    values["claims"][0]["parts"][0]["threshold"] = 4
    copy.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert claims_digest(copy) != claims_digest()


PART = {"label": "p", "statistic": {"terms": [{"where": {"contrast": "forgot"}}]}}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"id": "first"}, "id"),
        ({"tresholds": 1}, "tresholds"),
        ({"parts": []}, "expected parts, or the reason"),
        ({"not_testable": "floor"}, "expected parts, or the reason"),
        ({"parts": [PART | {"test": "equivalent"}]}, "margin"),
        ({"parts": [PART | {"test": "more", "margin": 2}]}, "margin"),
        ({"parts": [PART | {"test": "more", "threshold": -1}]}, "threshold"),
        ({"parts": [PART | {"test": "less", "threshold": 1}]}, "threshold"),
        ({"parts": [PART | {"test": "more", "statistic": {"kind": "guess"}}]}, "statistic"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named) as refused:
        load_claims(broken(tmp_path, **changes))
    assert "\n" not in str(refused.value)
    assert "claims.yaml" in str(refused.value)


def test_an_id_is_used_once(tmp_path: Path) -> None:
    claims = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))["claims"]
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [claims[0], claims[0]]}), encoding="utf-8")
    with pytest.raises(ValueError, match="C1 is used twice"):
        load_claims(path)


@pytest.mark.parametrize("text", ["claims: [", "claims: 3", "- no"])
def test_a_file_of_another_form_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"claims\.yaml") as refused:
        load_claims(path)
    assert "\n" not in str(refused.value)

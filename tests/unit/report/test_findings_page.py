# SPDX-License-Identifier: MIT
"""The findings page: each number is a table's, each sentence is its verdict's, nothing vanishes."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from jinja2 import UndefinedError

from derotate.claims.schema import claims_digest, load_claims
from derotate.figures.captions import load_captions
from derotate.report import templates
from derotate.report.estimates import Estimate, change
from derotate.report.findings_page import findings
from derotate.report.reproducing_page import reproducing, tolerance
from derotate.report.sources import VERDICTS, Files, read
from derotate.report.wording import DEVIATIONS, WORDING, load_deviations, load_wording
from derotate.stages.claims import write_verdicts
from derotate.stages.findings import write_findings, write_reproducing
from derotate.study import provenance

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "results" / "reference"
CAPTIONS = ROOT / "workflow" / "report"
DEMO = REFERENCE / "demo"
TINY = REFERENCE / "tiny"
CLAIMS = [claim.id for claim in load_claims()]
CALIBRATION = pd.DataFrame(
    {"test": "difference", "scenario": ["null true", "stated effect"],
     "truth": ["0 points", "9 points"], "studies": 400, "rejections": [11, 399],
     "rate": [0.0275, 0.9975], "low": [0.0138, 0.986], "high": [0.0487, 1.0],
     "limit": [0.05, 0.8], "passed": True}
)  # fmt: skip


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's tables with verdicts; not to be changed."""
    folder = tmp_path_factory.mktemp("judged") / "tiny"
    folder.mkdir()
    for table in DEMO.glob("*.csv"):
        shutil.copy(table, folder)
    write_verdicts(folder, folder)
    return folder


@pytest.fixture(scope="session")
def unchanged(judged: Path) -> str:
    """The page of those tables."""
    return page(sources(judged.parent))


@pytest.fixture
def files(tmp_path: Path, judged: Path) -> Files:
    """Sources of a page, free to be changed."""
    shutil.copytree(judged, tmp_path / "results" / "tiny")
    return sources(tmp_path / "results")


def sources(results: Path) -> Files:
    """Sources of a page in docs/ beside this folder of results, with a calibration written."""
    study, calibration = results / "tiny", results / "calibration.csv"
    CALIBRATION.to_csv(calibration, index=False)
    return Files(
        page=results.parent / "docs" / "findings.md",
        study=study,
        calibration=calibration,
        published=ROOT / "results" / "published",
        reexamination=REFERENCE / "reexamination" / "measured.csv",
    )


def edit(path: Path, row: dict[str, object], column: str, value: object) -> None:
    """Change one cell of the rows with these values."""
    table = pd.read_csv(path, dtype=object)
    fits = pd.Series(True, index=table.index)
    for name, wanted in row.items():
        fits &= table[name] == wanted
    assert fits.any(), row
    table.loc[fits, column] = value
    table.to_csv(path, index=False)


def page(files: Files) -> str:
    return findings(read(files))


def test_every_claim_is_on_the_page_once_with_its_place(unchanged: str) -> None:
    for claim in CLAIMS:
        assert unchanged.count(f'<a id="{claim.lower()}"></a>**{claim} ') == 1, claim


def test_every_claim_has_a_sentence_for_each_verdict_and_none_is_used_twice() -> None:
    wording = load_wording()
    assert list(wording.claims) == CLAIMS
    every = [sentences.of(verdict) for sentences in wording.claims.values() for verdict in VERDICTS]
    assert len(set(every)) == len(every) == 4 * len(CLAIMS)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_wording_follows_the_verdict_and_no_other_is_used(files: Files, verdict: str) -> None:
    edit(files.study / "claims.csv", {}, "verdict", verdict)
    text, wording = page(files), load_wording()
    for claim, sentences in wording.claims.items():
        for other in VERDICTS:
            assert (sentences.of(other) in text) == (other == verdict), (claim, other)


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "shown"),
    [
        ("claims", {"claim": "C3"}, "effect", 47.11, "47.1 points"),
        ("claims", {"claim": "C3"}, "p_adjusted", 0.4711, "0.471"),
        ("claims", {"claim": "C1"}, "mde", 47.11, "47.1"),
        ("claim_parts", {"claim": "C2"}, "p_for", 0.4711, "0.471"),
        ("stages", {"seed": "all", "landmark": "max_ood", "split": "ood", "fold": "test"},
         "accuracy", 47.11, "47.1 ["),
        ("stages", {"split": "ood", "fold": "test"}, "n", 4711,
         "4711 OOD test problems"),
        ("contrasts", {"contrast": "rl_over_start", "treatment": "rl-grpo-60", "split": "ood",
                       "fold": "test"}, "points", 47.11, "47.1 ["),
        ("contrasts", {"contrast": "rl_gain", "split": "ood", "fold": "test"}, "points", 47.11,
         "raises OOD accuracy by 47.1 ["),
        ("rl_first_update", {"start": "60"}, "correct_share", 47.11, "47.1"),
        ("surgery_edits", {"recipe": "directions-top20"}, "from_rollback_over_donor_distance",
         0.4711, "distance of 0.47"),
    ],
)  # fmt: skip
def test_a_changed_number_changes_the_page_where_it_is_shown(
    files: Files,
    unchanged: str,
    table: str,
    row: dict[str, object],
    column: str,
    value: object,
    shown: str,
) -> None:
    assert shown not in unchanged
    edit(files.study / f"{table}.csv", row, column, value)
    assert shown in page(files)


def test_the_calibration_is_on_the_page_and_a_test_outside_its_limit_is_named(
    files: Files, unchanged: str
) -> None:
    assert "All tests are within their limits." in unchanged
    edit(files.calibration, {"scenario": "null true"}, "passed", "False")
    edit(files.calibration, {"scenario": "null true"}, "rate", 0.0711)
    text = page(files)
    assert "Outside the limit: difference (0 points)." in text and "0.071" in text


@pytest.mark.parametrize(
    "table",
    ["contrasts", "stages", "claims", "claim_parts", "landmarks", "rl_first_update",
     "surgery_edits", "accuracy_by_step"],
)  # fmt: skip
def test_without_a_table_the_page_names_it_and_keeps_every_claim(files: Files, table: str) -> None:
    (files.study / f"{table}.csv").unlink()
    if table not in ("claims", "claim_parts"):
        write_verdicts(files.study, files.study)
    text = page(files)
    assert f"{table}.csv" in text
    for claim in CLAIMS:
        assert f"**{claim} " in text


def test_an_empty_folder_makes_a_page_that_knows_nothing(files: Files, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    bare = replace(files, study=tmp_path / "none", calibration=tmp_path / "no.csv",
                   reexamination=tmp_path / "none.csv")  # fmt: skip
    text = page(bare)
    assert "landmarks.csv is missing" in text and "no.csv is missing" in text
    assert ", 0 are decided" in text and text.count("Missing: claims.csv: its row") >= len(CLAIMS)
    assert "not recorded" in reproducing(read(bare))


def test_optional_tables_are_shown_where_they_are(files: Files, unchanged: str) -> None:
    assert "no states.csv and no weights.csv" in unchanged and "phase.csv is missing" in unchanged
    (files.study / "states.csv").write_text(
        "base_seed,seed,pair,split,fold,metric,value\n"
        "1,101,max_ood:rl_end,ood,test,cka,0.4\n1,202,max_ood:rl_end,ood,test,cka,0.6\n"
    )
    (files.study / "weights.csv").write_text(
        "base_seed,seed,pair,against,metric,fraction,value\n"
        "1,101,sft_end:rl_end,patient,energy_off_principal,0.2,0.7\n"
        "1,101,sft_end:rl_end,random_change,energy_off_principal,0.2,0.8\n"
        "1,101,sft_end:rl_end,patient,energy_off_principal,0.05,0.9\n"
    )
    (files.study / "phase.csv").write_text(
        "base_seed,seed,base_steps,learning_rate,base_ood,peak_step,peak_ood,end_id,end_lost,"
        "end_lost_low,end_lost_high,matched_lost,matched_lost_low,matched_lost_high,learned\n"
        "1,11,700,0.003,5,40,21,99,12.5,9.5,15.5,,,,True\n"
        "1,11,700,0.001,5,40,21,99,12.5,9.5,15.5,2.0,-0.5,4.5,True\n"
        "1,11,700,0.0003,5,40,21,99,1.5,-0.5,3.5,2.0,0.5,3.5,True\n"
    )
    text = page(files)
    assert "is significant in 2 of 3 cells" in text and "in 1 of the 2 cells" in text
    assert "0.500 [0.400, 0.600]" in text
    assert "0.700 [0.700, 0.700] | 0.800" in text and "0.900 [" not in text
    assert "| 0.003" in text and "12.5 [9.5, 15.5]" in text
    assert "phase.csv is missing" not in text


def test_missing_cells_are_named_on_the_page(files: Files) -> None:
    table = pd.read_csv(files.study / "contrasts.csv", dtype=object)
    lost = (table["contrast"] == "forgot") & (table["base_seed"] == "2") & (table["seed"] == "303")
    table[~lost].to_csv(files.study / "contrasts.csv", index=False)
    write_verdicts(files.study, files.study)
    text = page(files)
    assert "contrasts.csv: forgot ood test, base 2 seed 303" in text
    assert load_wording().claims["C1"].undecided in text


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("claims.csv", lambda table: pd.concat([table, table[:1]]), "row 21, columns claim"),
        ("claims.csv", lambda table: table.assign(p=1.2), "row 2, column p: got 1.2"),
        ("claims.csv", lambda table: table.assign(verdict="true"), "row 2, column verdict"),
        ("claims.csv", lambda table: table.drop(columns="mde"), "row 1, no column mde"),
        ("claim_parts.csv", lambda table: table.assign(p_for=-1.0), "row 2, column p_for"),
        ("stages.csv", lambda table: table.assign(accuracy=120.0), "row 2, column accuracy"),
        ("contrasts.csv", lambda table: pd.concat([table, table[-1:]]), "occurs twice"),
        ("surgery.csv", lambda table: pd.concat([table, table[:1]]), "occurs twice"),
        ("../calibration.csv", lambda table: table.assign(rate=1.5), "row 2, column rate"),
    ],
)
def test_a_table_that_cannot_be_true_is_refused_with_file_row_and_column(
    files: Files, name: str, change: Callable[[pd.DataFrame], pd.DataFrame], named: str
) -> None:
    path = files.study / name
    change(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(ValueError, match=re.escape(named)) as refused:
        read(files)
    assert Path(name).name in str(refused.value) and "\n" not in str(refused.value)


def test_all_links_of_both_pages_lead_to_files(files: Files) -> None:
    figures = files.page.parent / "figures"
    figures.mkdir(parents=True)
    (figures / "stages.png").touch()
    write_findings(replace(files, figures=(figures / "stages.png",)))
    other = replace(files, page=files.page.with_name("reproducing.md"))
    write_reproducing(other)
    for path in (files.page, other.page):
        text = path.read_text(encoding="utf-8")
        assert f"({ROOT}" not in text and str(files.study) not in text
        for target in re.findall(r"\]\(([^)]+)\)", text):
            name, _, place = target.partition("#")
            aim = path.parent / name if name else path
            # the config lies in the checkout, not in the folder of this test
            assert aim.exists() or (ROOT / "config" / aim.name).is_file(), target
            assert not place or f'id="{place}"' in aim.read_text(encoding="utf-8"), target


def test_figures_that_were_drawn_are_shown_with_captions_and_others_are_not(
    files: Files, unchanged: str
) -> None:
    assert "No figure was drawn" in unchanged
    names = ("phase", "surgery", "a_new_one")
    drawn = tuple(files.page.parent / "figures" / f"{name}.png" for name in names)
    text = page(replace(files, figures=drawn, captions=CAPTIONS))
    captions = load_captions(CAPTIONS)
    shown = re.findall(r"!\[.*\]\(figures/(\w+)\.png\)", text)
    assert shown == ["surgery", "phase", "a_new_one"], "a new figure needs no place on the page"
    assert captions["phase"].summary in text and captions["angles"].summary not in text
    assert "*A new one.*" in text


def test_an_open_primary_claim_says_how_many_runs_would_decide_and_what_they_cost(
    files: Files,
) -> None:
    claims = files.study / "claims.csv"
    for column, value in {
        "verdict": "undecided",
        "effect": 1.2,
        "runs": 6,
        "runs_needed": 30,
    }.items():
        edit(claims, {"claim": "C5"}, column, value)
    assert "about 30 runs needed, 6 made; not run for lack of compute" in page(files)
    (files.study / "budget.csv").write_text("stage,took_minutes,wall_minutes\nall,120,65\n")
    assert "a run took 20.0 minutes of job time, so that many would have taken 10.0 hours" in page(
        files
    )


@pytest.mark.parametrize(("limit", "exhausted"), [(None, True), (400, True), (340, False)])
def test_a_claim_that_no_number_of_runs_decides_says_whether_more_problems_exist(
    files: Files, limit: int | None, exhausted: bool
) -> None:
    claims = files.study / "claims.csv"
    for column, value in {"verdict": "undecided", "effect": 1.2, "runs_needed": None}.items():
        edit(claims, {"claim": "C5"}, column, value)
    suites = [{"split": "id", "fold": "train", "limit": limit}, {"split": "ood", "fold": "test"}]
    settings = {"evaluation": {"suites": suites}}
    (files.study / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    text = "There are no more problems: all number sets are evaluated."
    assert (text in page(files)) == exhausted


def test_an_arm_is_compared_with_the_end_and_the_peak_of_plain_sft(files: Files) -> None:
    contrasts = pd.read_csv(files.study / "contrasts.csv")
    lost = contrasts[contrasts["contrast"] == "forgot"]
    kept = lost.assign(contrast="arm_over_sft_end", treatment="diverse", reference="sft_end")
    beside = kept.assign(contrast="arm_over_peak", reference="max_ood", points=0.0)
    pd.concat([contrasts, kept, beside]).to_csv(files.study / "contrasts.csv", index=False)
    said = re.search(
        r"SFT on prompts with varied rules, never the OOD rule, with some larger numbers, ends "
        r"(\S+) \[.*\] points above the end of plain SFT in OOD accuracy "
        r"\(minus the peak of plain SFT: 0\.0 \[.*\] points\)\.",
        page(files),
    )
    assert said is not None
    own = lost[(lost["seed"] != "all") & (lost["split"] == "ood") & (lost["fold"] == "test")]
    assert float(said[1]) == pytest.approx(
        own.groupby("base_seed")["points"].mean().mean(), abs=0.06
    )


def test_the_study_is_described_by_the_runs_that_it_has(files: Files, unchanged: str) -> None:
    assert "6 runs on 2 bases (1 and 2) with 3 seeds (101, 202 and 303) each" in unchanged
    landmarks = files.study / "landmarks.csv"
    pd.read_csv(landmarks)[:-1].to_csv(landmarks, index=False)
    text = page(files)
    assert "5 runs on 2 bases" in text
    assert "seeds 101, 202 and 303 on base 1 and seeds 101 and 202 on base 2." in text


def test_the_page_tells_whether_the_claims_were_changed_since(files: Files, tmp_path: Path) -> None:
    values = yaml.safe_load(DEVIATIONS.read_text(encoding="utf-8"))
    values["stated"]["digest"] = "0123456789abcdef"
    changed = tmp_path / "deviations.yaml"
    changed.write_text(yaml.safe_dump(values), encoding="utf-8")
    text = page(replace(files, deviations=changed))
    assert "have been changed since (the digest was `0123456789abcdef`)" in text
    assert claims_digest() in text and values["deviations"][0]["what"].strip() in text


def test_claims_that_were_changed_since_have_a_deviation_that_says_so() -> None:
    known = load_deviations()
    if known.stated.digest != claims_digest():
        assert any(item.when == "after" for item in known.deviations), (
            f"claims.yaml has digest {claims_digest()}, stated was {known.stated.digest}: add an "
            "entry with `when: after` to deviations.yaml"
        )
    assert {name for item in known.deviations for name in item.claims} <= set(CLAIMS)


def test_reasons_are_shown_in_the_words_of_the_page(files: Files, unchanged: str) -> None:
    reasons = load_wording().reasons
    written = pd.read_csv(TINY / "claims.csv")["reason"].str.cat(sep=" ")
    unused = [phrase for phrase in reasons if phrase not in written]
    assert unused == ["one run a base; two or more would show how much seeds differ"]
    assert not [phrase for phrase in reasons if phrase in unchanged]


def test_a_change_is_worded_by_its_interval() -> None:
    up, down, unclear = "rose by {}", "fell by {}", "changed by {}"
    words = {
        (1.0, 0.5, 1.5): "rose by 1.0 [0.5, 1.5] points",
        (-1.0, -1.5, -0.5): "fell by 1.0 [0.5, 1.5] points",
        (1.0, -0.5, 2.5): "changed by 1.0 [-0.5, 2.5] points (not significant)",
        (1.0, float("nan"), float("nan")):
            "changed by 1.0 (no interval) points (one run per base, so no CI)",
    }  # fmt: skip
    for numbers, text in words.items():
        assert change(Estimate(*numbers), up, down, unclear) == text


def test_a_template_that_names_what_it_is_not_given_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = templates._ENVIRONMENT.from_string("{{ never_measured }}")
    monkeypatch.setattr(templates._ENVIRONMENT, "get_template", lambda name: template)
    with pytest.raises(UndefinedError, match="never_measured"):
        templates.render("findings.md.j2", {})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda values: values["claims"]["C5"].pop("undecided"), "claims.C5.undecided"),
        (lambda values: values["claims"]["C5"].update(undecided="12 runs."), "a digit in '12"),
        (lambda values: values["claims"].pop("C18"), "nothing for C18"),
    ],
)  # fmt: skip
def test_wording_that_lacks_a_verdict_or_types_a_number_is_refused(
    files: Files, tmp_path: Path, change: Callable[[dict], object], named: str
) -> None:
    values = yaml.safe_load(WORDING.read_text(encoding="utf-8"))
    change(values)
    path = tmp_path / "wording.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(named)) as refused:
        read(replace(files, wording=path))
    assert "wording.yaml" in str(refused.value) and "\n" not in str(refused.value)


def test_the_tolerance_is_half_the_interval_of_a_difference_of_two_such_studies() -> None:
    row = pd.Series({"low": 1.0, "high": 5.0, "unit": "points"})
    assert tolerance(row) == "2.8 points"
    assert tolerance(row.replace(5.0, float("inf"))) == "–"


def test_the_page_on_reproducing_has_a_row_for_each_claim_and_the_machine(files: Files) -> None:
    (files.study / "environment.json").write_text(
        '{"cores": 3, "processor": "Example CPU", "torch": "2.0", "started": "2026-01-02T03:04"}'
    )
    (files.study / "budget.csv").write_text("stage,took_minutes,wall_minutes\nall,120,65\n")
    text = reproducing(read(replace(files, page=files.page.with_name("reproducing.md"))))
    rows = [line for line in text.splitlines() if "](findings.md#c" in line]
    assert len(rows) == len(CLAIMS)
    assert "3 cores of Example CPU, torch 2.0.\nIt was last started on 2026-01-02." in text
    assert "120 min of job time, 65 min of wall-clock time" in text
    assert "--cores 3 --configfile config/tiny.yaml" in text
    c1 = pd.read_csv(files.study / "claims.csv").set_index("claim").loc["C1"]
    assert f"{c1['part']}: {c1['effect']:.1f} [{c1['low']:.1f}, {c1['high']:.1f}]" in rows[0]


def test_the_same_tables_make_the_same_bytes(files: Files) -> None:
    assert page(files) == page(files)


@pytest.mark.parametrize("name", ["findings.md.j2", "reproducing.md.j2", "wording.yaml"])
def test_an_edit_of_the_words_of_a_page_reruns_the_pages_and_no_table(
    tmp_path: Path, name: str
) -> None:
    root = tmp_path / "derotate"
    shutil.copytree(ROOT / "src" / "derotate", root)
    stages = ("findings", "tables", "claims", "figures", "reference_figures")

    def digests() -> list[str]:
        provenance._code_digest.cache_clear()
        modules = [frozenset({f"derotate.stages.{stage}"}) for stage in stages]
        return [provenance._code_digest(root, module) for module in modules]

    before = digests()
    edited = root / "report" / name
    edited.write_text(edited.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    changed = [old != new for old, new in zip(before, digests(), strict=True)]
    assert changed == [True, False, False, False, False]


def test_the_pages_import_no_torch() -> None:
    code = "import sys, derotate.stages.findings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not (TINY / "claims.csv").is_file(), reason="the reference study was not run")
@pytest.mark.parametrize("name", ["findings", "reproducing"])
def test_the_committed_pages_are_what_the_committed_tables_say(name: str) -> None:
    files = Files(
        page=ROOT / "docs" / f"{name}.md",
        study=TINY,
        calibration=REFERENCE / "calibration" / "calibration.csv",
        published=ROOT / "results" / "published",
        reexamination=REFERENCE / "reexamination" / "measured.csv",
        figures=tuple(sorted((ROOT / "docs" / "figures").glob("*.png"))),
        captions=CAPTIONS,
        others={
            path.parent.name.removeprefix("tiny-"): path.parent
            for path in sorted(REFERENCE.glob("tiny-*/landmarks.csv"))
        },
    )
    made = {"findings": findings, "reproducing": reproducing}[name](read(files))
    assert files.page.read_text(encoding="utf-8") == made

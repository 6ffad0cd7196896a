# SPDX-License-Identifier: MIT
"""Pages of the reference study: made from its tables, and remade only if their numbers change.

Tables that the reference study lacks are replaced by those of the demo.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from checkout import ORIGINAL, cloned, copy_checkout, dry_run, environment, run

from derotate.stages.figures import DRAWINGS
from derotate.study.reference import PICTURES, TABLES, figures

ASKED = ("--no-hooks", "reference")
DERIVED = ("claims", "claim_parts")
PAGES = ("findings", "reproducing")

# All pages are drawn by a run of the workflow: a minute and more of CPU time.
pytestmark = pytest.mark.slow


def complete(folder: Path) -> None:
    """Fill in missing tables of the reference with those of the demo, or with empty ones."""
    tables, demo = folder / TABLES, ORIGINAL / "results/reference/demo"
    tables.mkdir(parents=True, exist_ok=True)
    headers = {
        "rl_log": "base_seed,seed,algorithm,start,update",
        "advantages": "base_seed,seed,algorithm,start,bin_low,bin_high,share",
        "states": "base_seed,seed,pair,split,fold,metric,value,low,high,n,p",
        "weights": "base_seed,seed,pair,against,metric,fraction,value,low,high",
        "spectra_by_index": "kind,against,metric,fraction,index,runs,value,low,high",
    }
    for path in sorted(demo.glob("*.csv")):
        if not (tables / path.name).exists():
            shutil.copy(path, tables)
    for name, header in headers.items():
        if not (tables / f"{name}.csv").exists():
            (tables / f"{name}.csv").write_text(f"{header}\n")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each page and derived table, by name."""
    paths = [
        *(folder / PICTURES).glob("*.png"),
        *(folder / TABLES / f"{name}.csv" for name in DERIVED),
        *(folder / f"docs/{page}.md" for page in PAGES),
    ]
    return {path.stem: sha256(path.read_bytes()).hexdigest() for path in paths}


def change(folder: Path, table: str, column: str) -> None:
    """Increase one number of a table by one."""
    path = folder / TABLES / f"{table}.csv"
    own = pd.read_csv(path, dtype=str, keep_default_na=False)
    # a number that a figure shows: all seeds pooled, out of distribution
    keys = {"seed": "all", "split": "ood", "fold": "test"}
    known = [key for key in keys if key in own]
    place = (own[known] == [keys[key] for key in known]).all(axis=1).idxmax()
    own.loc[place, column] = f"{float(own.loc[place, column]) + 1:.6g}"
    own.to_csv(path, index=False, lineterminator="\n")


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with all pages remade, without training; do not change it."""
    folder = tmp_path_factory.mktemp("redrawn") / "checkout"
    copy_checkout(folder)
    complete(folder)
    run(folder, "--forceall", *ASKED)
    return folder


@pytest.fixture
def pages(redrawn: Path, tmp_path: Path) -> Iterator[Path]:
    """A clone of `redrawn`, with its time stamps, to edit and to run in."""
    yield from cloned(redrawn, tmp_path)


def test_every_figure_and_verdict_is_made_once(redrawn: Path) -> None:
    assert set(digests(redrawn)) == {*figures(DRAWINGS), *DERIVED, *PAGES}
    assert dry_run(redrawn, *ASKED) == {}
    made = {path.name for path in (redrawn / "results").iterdir()}
    assert made == {"published", "reference"}, "nothing is trained, and no study is recorded"


@pytest.mark.parametrize(
    ("table", "column", "jobs", "may_change"),
    [
        (
            "surgery",
            "ood_gained",
            {"reference_pictures": 1, "findings": 1},
            {"surgery", "findings"},
        ),
        (
            "stages",
            "accuracy",
            {"reference_pictures": 1, "reference_claims": 1, "findings": 1},
            {"stages", *DERIVED, *PAGES},
        ),
    ],
)
def test_a_changed_number_changes_only_the_pages_that_depend_on_it(
    pages: Path, table: str, column: str, jobs: dict[str, int], may_change: set[str]
) -> None:
    before = digests(pages)
    change(pages, table, column)
    planned = dry_run(pages, *ASKED)
    assert planned.pop("reference") == 1
    assert planned == jobs
    run(pages, *ASKED)
    after = digests(pages)
    changed = {name for name in after if after[name] != before[name]}
    assert table in changed
    assert changed <= may_change


def test_a_new_time_stamp_alone_redraws_nothing(pages: Path) -> None:
    (pages / TABLES / "surgery.csv").touch()
    assert dry_run(pages, *ASKED) == {}


def test_pages_made_twice_have_the_same_bytes(pages: Path) -> None:
    before = digests(pages)
    run(pages, "--forceall", *ASKED)
    assert digests(pages) == before


def test_making_the_pages_does_not_import_torch(pages: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from derotate.study.reference import PAPERS, REEXAMINATION, TABLES;"
        "from derotate.report.sources import Files;"
        "from derotate.stages.claims import write_claims;"
        "from derotate.stages.findings import write_findings, write_reproducing;"
        "from derotate.stages.figures import DRAWINGS;"
        "from derotate.stages.reference_figures import Roots, draw_pictures;"
        "roots = Roots(Path(TABLES), Path(PAPERS), Path(REEXAMINATION));"
        "write_claims(roots.tables, roots.tables);"
        "draw_pictures(roots, [Path(f'{name}.png') for name in (*DRAWINGS, 'reexamination')]);"
        "files = Files(Path('out.md'), roots.tables, Path('none'), roots.papers,"
        " roots.reexamination / 'measured.csv');"
        "write_findings(files); write_reproducing(files);"
        "print(sorted({'torch', 'transformers', 'trl', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=pages, env=environment(pages),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"

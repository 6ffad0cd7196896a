# SPDX-License-Identifier: MIT
"""A study restored without its weights is redrawn without training."""

import shutil
from pathlib import Path

import pytest
from checkout import FINISHED, derotate, dry_run, edit, tables

STUDY = "results/counted"
RUN = f"{STUDY}/general_points/base-1/seed-1"
DRAWN = {"accuracy_by_step", "tables", "figures", "claims", "data_card"}


def redrawn(folder: Path) -> set[str]:
    """Redraw the study; returns the rules whose jobs ran."""
    done = derotate(folder, "redraw", STUDY)
    assert done.returncode == 0, done.stderr
    return set(FINISHED.findall(done.stderr)) - {"all"}


def figures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / STUDY / "figures").glob("*.png")}


@pytest.fixture
def restored(finished: Path, fresh: Path, tmp_path: Path) -> Path:
    """A fresh checkout with the content of an archive of the finished study."""
    archive = tmp_path / "counted.tar.gz"
    packed = derotate(finished, "archive", STUDY, "--out", str(archive))
    assert packed.returncode == 0, packed.stderr
    unpacked = derotate(fresh, "restore", str(archive))
    assert unpacked.returncode == 0, unpacked.stderr
    assert not list((fresh / STUDY).rglob("*.safetensors"))
    return fresh


@pytest.mark.slow
def test_a_restored_study_is_complete_and_is_redrawn_without_training(
    finished: Path, restored: Path
) -> None:
    assert dry_run(restored) == {}
    assert tables(restored) == tables(finished)
    shutil.rmtree(restored / STUDY / "figures")
    environment_file = (restored / STUDY / "environment.json").read_bytes()
    assert redrawn(restored) == DRAWN
    assert figures(restored) == figures(finished)
    assert tables(restored) == tables(finished)
    # the record of the machine that computed the study stays
    assert (restored / STUDY / "environment.json").read_bytes() == environment_file
    # another style: other figures of the same numbers
    edit(restored, "src/derotate/figures/style.py", "DPI: Final = 200", "DPI: Final = 50")
    assert redrawn(restored) == DRAWN
    new, old = figures(restored), figures(finished)
    assert new.keys() == old.keys()
    assert all(new[name] != old[name] for name in old)
    assert tables(restored) == tables(finished)


@pytest.mark.slow
def test_missing_rows_are_reported_before_any_job_runs(restored: Path) -> None:
    (restored / RUN / "evaluations/sft-4.parquet").unlink()
    refused = derotate(restored, "redraw", STUDY)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"derotate: {STUDY}: rows are missing")
    assert len(refused.stderr.splitlines()) == 1

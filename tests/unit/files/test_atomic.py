# SPDX-License-Identifier: MIT
"""A file or folder is complete under its name, or it is not there."""

from pathlib import Path

import pytest

from derotate.files.atomic import atomic_write, atomic_write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    atomic_write_text(target, "old\r\n")
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as part:
        part.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old\r\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model"
    with atomic_write(target) as part:
        part.mkdir()
        (part / "weights").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["weights"]


def test_what_a_killed_job_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".model.part" / "junk").mkdir(parents=True)
    with atomic_write(tmp_path / "model") as part:
        part.mkdir()
    assert [path.name for path in tmp_path.rglob("*")] == ["model"]

# SPDX-License-Identifier: MIT
"""Results travel without weights, and arrive as they left or not at all."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from derotate.cli import app
from derotate.config.schema import Config
from derotate.runs.archive import ArchiveError, pack, sha256
from derotate.runs.unpack import restore
from derotate.study import record

RUN = "general_points/base-1/seed-101"
PACKED = {
    "tables/stages.csv": b"landmark,accuracy\nbase,6.1\n",
    "tables/origin.json": b"{}\n",
    "tables/stages.md": b"| landmark |\n",
    "figures/stages.png": bytes(range(256)) * 40,
    "environment.json": b'{"host": "node-17"}\n',
    "logs/tables.log": b"",
    "benchmarks/rest/tables.tsv": b"s\n60.0\n",
    f"{RUN}/evaluations/sft-600.parquet": b"PAR1 rows PAR1",
    f"{RUN}/landmarks.json": b'{"max_ood": 120}\n',
    f"{RUN}/rl/grpo/from-600/log.csv": b"update,loss\n1,0.5\n",
    f"{RUN}/factors/sft-600-guards.csv": b"matrix,ok\n",
    "general_points/base-1/base/training.csv": b"step,loss\n",
}
LEFT = {
    "general_points/base-1/base/model.safetensors": b"weights",
    "general_points/base-1/base/config.json": b"{}",
    f"{RUN}/factors/sft-600.safetensors": b"factors",
    f"{RUN}/sft/state-600/optimizer.pt": b"state",
    f"{RUN}/sft/samples-0-600.jsonl": b"{}\n",
}
HIDDEN = {f"{RUN}/sft/state-600/.snakemake_timestamp": b"", "tables/.stages.csv.part": b"half"}
MANIFEST = "demo/manifest.json"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder of a study that has run, on the cluster."""
    folder = tmp_path / "cluster" / "demo"
    for name, content in {**PACKED, **LEFT, **HIDDEN}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    record.write(Config(), folder)
    return folder


@pytest.fixture
def archive(study: Path, tmp_path: Path) -> Path:
    """The archive of that study."""
    return pack(study, tmp_path / "demo.tar.gz").file


def members(file: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Headers and contents of an archive, the manifest first."""
    with tarfile.open(file) as tar:
        return [(header, _read(tar, header)) for header in tar]


def _read(tar: tarfile.TarFile, header: tarfile.TarInfo) -> bytes:
    content = tar.extractfile(header)
    assert content is not None
    return content.read()


def rewrite(file: Path, edit: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> None:
    """Take an archive apart, edit it and put it together again, as one who tampers would."""
    content = members(file)
    edit(content)
    with tarfile.open(file, "w:gz") as tar:
        for header, data in content:
            header.size = len(data) if header.isreg() else 0
            tar.addfile(header, io.BytesIO(data))


def found(content: list[tuple[tarfile.TarInfo, bytes]], name: str) -> int:
    return [header.name for header, _ in content].index(f"demo/{name}")


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refusal(file: Path, laptop: Path) -> str:
    """The one line with which an archive is refused; nothing of it may have been written."""
    before = files(laptop) if laptop.exists() else {}
    with pytest.raises(ArchiveError) as caught:
        restore(file, laptop)
    assert (files(laptop) if laptop.exists() else {}) == before
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_rows_tables_figures_and_logs_travel_and_weights_stay(study: Path, archive: Path) -> None:
    config = (study / "config.yaml").read_bytes()
    restored = restore(archive, study.parent / "laptop")
    assert restored.folder == study.parent / "laptop" / "demo"
    assert files(restored.folder) == {**PACKED, "config.yaml": config}


def test_what_stays_is_counted(study: Path, tmp_path: Path) -> None:
    packed = pack(study, tmp_path / "demo.tar.gz")
    assert packed.excluded_files == len(LEFT)
    assert packed.excluded_size == sum(map(len, LEFT.values()))
    assert packed.sha256 == sha256(packed.file)


def test_the_same_files_give_the_same_bytes_whenever_they_were_made(
    study: Path, archive: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(study.rglob("*"), reverse=True)):
        os.utime(path, (number, number))
    assert pack(study, tmp_path / "again.tar.gz").sha256 == sha256(archive)


def test_packing_what_was_restored_gives_the_same_archive(archive: Path, tmp_path: Path) -> None:
    restored = restore(archive, tmp_path / "laptop")
    assert pack(restored.folder, tmp_path / "again.tar.gz").sha256 == sha256(archive)


def test_no_restored_file_is_newer_than_another(archive: Path, tmp_path: Path) -> None:
    # or Snakemake would want to make rows again, for which there are no weights
    folder = restore(archive, tmp_path / "laptop").folder
    times = {path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert len(times) == 1


@pytest.mark.parametrize("name", ["tables/stages.csv", f"{RUN}/landmarks.json"])
def test_a_changed_number_is_named(archive: Path, tmp_path: Path, name: str) -> None:
    def edit(content: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        place = found(content, name)
        header, data = content[place]
        content[place] = header, data.replace(b"1", b"7")

    rewrite(archive, edit)
    assert f"demo/{name}: SHA-256 differs from the manifest" in refusal(
        archive, tmp_path / "laptop"
    )


def test_a_missing_member_is_named(archive: Path, tmp_path: Path) -> None:
    rewrite(archive, lambda content: content.pop(found(content, "tables/stages.csv")) and None)
    assert "demo/tables/stages.csv is missing" in refusal(archive, tmp_path / "laptop")


def test_a_missing_last_member_is_named(archive: Path, tmp_path: Path) -> None:
    rewrite(archive, lambda content: content.pop() and None)
    assert "demo/tables/stages.md is missing" in refusal(archive, tmp_path / "laptop")


def test_a_member_that_the_manifest_does_not_name_is_refused(archive: Path, tmp_path: Path) -> None:
    def edit(content: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        content.append((tarfile.TarInfo("demo/tables/zeal.csv"), b"more\n"))

    rewrite(archive, edit)
    assert "demo/tables/zeal.csv is not in the manifest" in refusal(archive, tmp_path / "laptop")


def test_a_cut_off_archive_is_refused_wherever_it_was_cut(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    for length in range(0, len(whole), max(len(whole) // 40, 1)):
        archive.write_bytes(whole[:length])
        assert "copy the archive again" in refusal(archive, tmp_path / "laptop")


def test_the_member_at_which_an_archive_was_cut_is_named(archive: Path, tmp_path: Path) -> None:
    plain = gzip.decompress(archive.read_bytes())
    stored = gzip.compress(plain, compresslevel=0)
    archive.write_bytes(stored[: stored.index(PACKED["figures/stages.png"][:256]) + 2000])
    assert "broken at demo/figures/stages.png" in refusal(archive, tmp_path / "laptop")


def test_a_flipped_bit_is_refused_wherever_it_is(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    # the ten bytes of gzip's header hold no content
    for place in range(10, len(whole), max(len(whole) // 40, 1)):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        refusal(archive, tmp_path / "laptop")


@pytest.mark.parametrize("path", ["../../escaped.csv", "/tmp/escaped.csv", "tables/../../x.csv"])
def test_a_path_that_leads_outside_is_refused(archive: Path, tmp_path: Path, path: str) -> None:
    def edit(content: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        header, data = content[0]
        values = json.loads(data)
        entry = {**values["members"][0], "path": path}
        values["members"] = sorted([*values["members"], entry], key=lambda entry: entry["path"])
        content[0] = header, json.dumps(values).encode()

    rewrite(archive, edit)
    assert f"{path} is outside of demo/" in refusal(archive, tmp_path / "laptop")


def test_a_link_in_the_place_of_a_file_is_refused(archive: Path, tmp_path: Path) -> None:
    def edit(content: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        header, _ = content[found(content, "tables/stages.csv")]
        header.type, header.linkname = tarfile.SYMTYPE, "/etc/passwd"

    rewrite(archive, edit)
    expected = "demo/tables/stages.csv: expected a file of 27 bytes"
    assert expected in refusal(archive, tmp_path / "laptop")


def test_a_folder_that_is_a_link_to_elsewhere_is_not_written_to(
    archive: Path, tmp_path: Path
) -> None:
    elsewhere, laptop = tmp_path / "elsewhere", tmp_path / "laptop"
    elsewhere.mkdir()
    (laptop / "demo").mkdir(parents=True)
    (laptop / "demo/tables").symlink_to(elsewhere)
    assert "a symbolic link leads out of" in refusal(archive, laptop)
    assert files(elsewhere) == {}


def test_a_file_that_is_no_archive_of_ours_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.tar.gz"
    file.write_text("text")
    assert "broken at the manifest" in refusal(file, tmp_path / "laptop")
    with tarfile.open(file, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("demo/x.csv"))
    assert "expected manifest.json as first member" in refusal(file, tmp_path / "laptop")


def test_a_result_of_ones_own_is_kept_unless_it_is_forced(archive: Path, tmp_path: Path) -> None:
    laptop = tmp_path / "laptop"
    folder = restore(archive, laptop).folder
    own = folder / "tables/stages.csv"
    own.write_bytes(b"mine\n")
    assert f"{own} exists and differs" in refusal(archive, laptop)
    same = folder / "tables/stages.md"
    os.utime(same, (1, 1))
    restored = restore(archive, laptop, force=True)
    assert (restored.written, restored.unchanged) == (1, len(PACKED))
    assert own.read_bytes() == PACKED["tables/stages.csv"]
    assert same.stat().st_mtime == 1


def test_a_study_that_never_ran_cannot_be_packed(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["archive", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"derotate: {tmp_path}: no config.yaml")
    assert len(result.stderr.splitlines()) == 1


def test_an_absent_archive_is_one_line(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.tar.gz")
    result = CliRunner().invoke(app, ["restore", absent, "--into", str(tmp_path / "laptop")])
    assert result.exit_code == 2
    assert absent in result.stderr
    assert len(result.stderr.splitlines()) == 1

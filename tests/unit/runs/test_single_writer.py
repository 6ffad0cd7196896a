# SPDX-License-Identifier: MIT
"""A run is alone in its directory and goes on after a kill: real Snakemakes, really killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from derotate.runs import single_writer as running

SNAKEFILE = """
    rule all:
        input: "answer.txt"

    rule write:
        output: "answer.txt"
        params: seconds=config.get("seconds", 0)
        script: "write.py"

    rule fail:
        output: "never.txt"
        shell: "exit 3"
    """

# Says in the diary when it works, so that two writers at a time would be seen.
SCRIPT = """
    import os, time
    with open("diary.txt", "a", buffering=1) as diary:
        print("start", os.getpid(), file=diary)
        time.sleep(snakemake.params.seconds)
        with open(snakemake.output[0], "w") as answer:
            answer.write("42")
        print("end", os.getpid(), file=diary)
    """

PATIENCE = 300.0
FOR_EVER = "seconds=600"


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Path]:
    """A folder with a one-script workflow; what still runs in it at the end is killed."""
    (tmp_path / "Snakefile").write_text(textwrap.dedent(SNAKEFILE))
    (tmp_path / "write.py").write_text(textwrap.dedent(SCRIPT))
    yield tmp_path
    for process, _ in list(running._processes(tmp_path)):
        process.kill()


def start(study: Path, *arguments: str, module: str = "derotate.cli") -> subprocess.Popen[str]:
    """Start `derotate run -- ARGUMENTS`, or Snakemake itself, in a process group of its own."""
    command = [sys.executable, "-m", module, *(["run", "--"] if module == "derotate.cli" else [])]
    return subprocess.Popen(
        [*command, "--cores", "1", "--rerun-incomplete", *arguments],
        cwd=study,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def diary(study: Path) -> list[tuple[str, int]]:
    """What the scripts noted: (start or end, pid)."""
    file = study / "diary.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(event, int(pid)) for event, pid in map(str.split, lines)]


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors


def test_the_lock_is_exclusive_and_ends_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "KILLED_WAIT", 0.2)
    code = (
        "from pathlib import Path; import time; from derotate.runs.single_writer import take_lock;"
        f"take_lock(Path({str(tmp_path)!r})); print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(running.BusyError, match=rf"\(pid {holder.pid}\)"):
            running.take_lock(tmp_path)
        holder.kill()
    os.close(running.take_lock(tmp_path))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["/venv/bin/python3.11", "/venv/bin/snakemake", "--cores", "2"], True),
        (["/venv/bin/python", "-m", "snakemake", "--cores", "2"], True),
        (["/venv/bin/python", "-m", "derotate.runs.local_executor", "--cores", "2"], True),
        (["snakemake", "-n"], True),
        (["python", ".snakemake/scripts/tmp1.write.py"], False),
        (["/bin/bash", "-c", "snakemake --cores 2"], False),
        (["grep", "snakemake"], False),
        (["python", "edit.py", "snakemake"], False),
        ([], False),
    ],
)
def test_a_snakemake_is_known_by_its_command_line(command: list[str], expected: bool) -> None:
    assert running._is_snakemake(command) is expected


def test_a_run_makes_its_targets_once_and_passes_on_exit_codes(study: Path) -> None:
    assert finish(start(study))[0] == 0
    assert (study / "answer.txt").read_text() == "42"
    assert finish(start(study))[0] == 0
    assert [event for event, _ in diary(study)] == ["start", "end"]
    assert finish(start(study, "fail"))[0] == 1


def test_a_second_run_is_told_the_pid_of_the_first(study: Path) -> None:
    first = start(study, "--config", FOR_EVER)
    wait_for(lambda: bool(diary(study)))
    code, errors = finish(start(study))
    assert code == 1
    assert errors.splitlines() == [f"derotate: {running._busy(first.pid)}"]
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


def test_a_snakemake_started_by_hand_is_respected(study: Path) -> None:
    by_hand = start(study, "--config", FOR_EVER, module="snakemake")
    wait_for(lambda: bool(diary(study)))
    code, errors = finish(start(study))
    assert (code, errors.splitlines()) == (1, [f"derotate: {running._busy(by_hand.pid)}"])
    assert [event for event, _ in diary(study)] == ["start"]
    os.killpg(by_hand.pid, signal.SIGKILL)
    by_hand.communicate()


@pytest.mark.parametrize(
    "module", ["derotate.cli", pytest.param("snakemake", marks=pytest.mark.slow)]
)
def test_after_a_kill_the_same_command_goes_on_and_ends_the_orphan_first(
    study: Path, module: str
) -> None:
    killed = start(study, "--config", FOR_EVER, module=module)
    wait_for(lambda: bool(diary(study)))
    killed.kill()  # Snakemake alone: its script lives on and would write the output
    killed.wait()
    [(_, orphan)] = diary(study)
    assert psutil.pid_exists(orphan)
    assert any((study / running.SNAKEMAKE_LOCKS).glob("*.lock"))

    code, errors = finish(start(study, "--config", "seconds=0"))
    assert code == 0, errors
    assert (study / "answer.txt").read_text() == "42"
    assert [event for event, _ in diary(study)] == ["start", "start", "end"]
    assert not psutil.pid_exists(orphan) or not running._runs(psutil.Process(orphan))


@pytest.mark.slow
def test_a_stopped_run_leaves_no_lock_and_no_half_written_output(study: Path) -> None:
    stopped = start(study, "--config", FOR_EVER)
    wait_for(lambda: bool(diary(study)))
    os.killpg(stopped.pid, signal.SIGINT)
    assert finish(stopped)[0] != 0
    assert not (study / "answer.txt").exists()
    assert not any((study / running.SNAKEMAKE_LOCKS).glob("*.lock"))
    assert finish(start(study))[0] == 0


def test_an_unlock_that_snakemake_refuses_is_passed_on(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study)
    (study / "Snakefile").write_text("rule all:\n    inptu: 'a'\n")
    with pytest.raises(SystemExit, match="1"):
        running.unlock([])
    assert "inptu" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--configfile", "no.yaml", "-n"], ["-n", "--configfiles=no.yaml"]]
)
def test_a_config_file_that_does_not_exist_is_named_in_one_line(arguments: list[str]) -> None:
    with pytest.raises(running.MissingConfigError, match=r"no\.yaml: no such file"):
        running.require_config_files(arguments)


def test_config_files_that_exist_and_other_words_are_no_reason_to_stop(tmp_path: Path) -> None:
    there = tmp_path / "there.yaml"
    there.touch()
    running.require_config_files(["--configfile", str(there), "--config", "seeds=[1]", "target"])

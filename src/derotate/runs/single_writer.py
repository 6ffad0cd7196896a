# SPDX-License-Identifier: MIT
"""Run Snakemake so that the same command resumes after a kill.

Snakemake locks its working directory with files that a killed run leaves behind, and scripts of a
killed run can outlive it. Before a run starts, these steps make it the only writer:

1. Take an exclusive `flock`, which the kernel releases however the run ends. A second run stops
   with the pid of the first.
2. Stop if a Snakemake that was started by hand runs in this directory.
3. Clean up after dead runs: terminate their scripts and remove their lock by `snakemake --unlock`.
4. Replace this process by Snakemake (`exec`). Exit code, signals, process group and `flock` are
   then those of the run itself.

These steps see the processes of one machine. In a directory that several machines share, start
Snakemake by hand; its lock is then the user's to remove.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Final, NoReturn

import psutil

from derotate.runs import local_executor

LOCK: Final = Path(".snakemake", "derotate.lock")
SNAKEMAKE_LOCKS: Final = Path(".snakemake", "locks")
SCRIPTS: Final = ".snakemake/scripts/"
"""Where Snakemake writes running scripts; part of the command line of each `script:` job."""

CONFIG_OPTIONS: Final = ("--configfile", "--configfiles")

KILLED_WAIT: Final = 2.0
"""Seconds until a killed run has left the process table and released the `flock`."""
TERMINATE_WAIT: Final = 10.0
"""Seconds from SIGTERM to SIGKILL for a script of a dead run."""


class MissingConfigError(FileNotFoundError):
    """A config file that does not exist; Snakemake would show a traceback."""


class BusyError(RuntimeError):
    """Another run uses this directory; the message is one line with its pid."""


def run(arguments: Sequence[str]) -> NoReturn:
    """Become `snakemake ARGUMENTS` in the current directory, as its only writer.

    Args:
        arguments: of Snakemake, e.g. `["--profile", "local", "--cores", "2"]`.

    Raises:
        MissingConfigError: a config file in the arguments does not exist.
        BusyError: another run uses this directory.
        SystemExit: the lock of a dead run could not be removed; the code is that of
            `snakemake --unlock`, which has printed the reason.
    """
    require_config_files(arguments)
    lock = take_lock(Path.cwd())
    respect_snakemake(Path.cwd())
    end_orphans(Path.cwd())
    if any(SNAKEMAKE_LOCKS.glob("*.lock")):
        unlock(arguments)
    become(_snakemake(arguments), lock)


def become(command: Sequence[str], lock: int) -> NoReturn:
    """Replace this process by a Python command that holds the lock until it ends."""
    os.set_inheritable(lock, True)
    # shell rules find the commands of this environment even if it is not activated
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    sys.stdout.flush()
    os.execve(sys.executable, list(command), {**os.environ, "PATH": commands})


def require_config_files(arguments: Sequence[str]) -> None:
    """Check that all config files in the arguments exist.

    Raises:
        MissingConfigError: one line with the first missing file.
    """
    for position, argument in enumerate(arguments):
        option, _, value = argument.partition("=")
        if option in CONFIG_OPTIONS:
            following = takewhile(lambda word: not word.startswith("-"), arguments[position + 1 :])
            for name in [value] if value else following:
                if not Path(name).is_file():
                    raise MissingConfigError(
                        f"{option} {name}: no such file; expected a study, e.g. config/demo.yaml"
                    )


def take_lock(directory: Path) -> int:
    """Open and lock the file that marks `directory` as used by a run.

    Returns:
        A file descriptor; the lock lasts until all copies of it are closed.

    Raises:
        BusyError: a live process holds the lock.
    """
    path = directory / LOCK
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + KILLED_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            pid = os.read(descriptor, 32).decode() or "unknown"
            os.close(descriptor)
            raise BusyError(_busy(pid)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor


def respect_snakemake(directory: Path, *, jobs: bool = True) -> None:
    """Stop if another Snakemake runs in `directory`.

    Args:
        directory: working directory of the new run.
        jobs: whether a Snakemake that runs a single job for another one counts too.

    Raises:
        BusyError: another Snakemake runs there.
    """
    for process, command in _processes(directory):
        if _is_snakemake(command) and (jobs or "--mode" not in command):
            raise BusyError(_busy(process.pid))


def end_orphans(directory: Path) -> list[int]:
    """Terminate job scripts in `directory` with their children, and wait until they ended.

    Call this only when no Snakemake runs there: the scripts then belong to a dead run and would
    write the same outputs as the next run.

    Returns:
        The pids of the terminated processes.

    Raises:
        BusyError: a process survives SIGKILL.
    """
    scripts = [
        process
        for process, command in _processes(directory)
        if any(SCRIPTS in argument for argument in command)
    ]
    orphans = {process.pid: process for process in [*scripts, *_descendants(scripts)]}
    for process in orphans.values():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in _wait(orphans.values(), TERMINATE_WAIT):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    stuck = _wait(orphans.values(), TERMINATE_WAIT)
    if stuck:
        raise BusyError(_busy(stuck[0].pid))
    return sorted(orphans)


def unlock(arguments: Sequence[str]) -> None:
    """Remove the lock of a dead Snakemake by `snakemake --unlock`.

    Raises:
        SystemExit: Snakemake failed, e.g. because of a wrong config; it has printed the reason.
    """
    done = subprocess.run(_snakemake(["--unlock", *arguments]), capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(done.returncode)


def _snakemake(arguments: Sequence[str]) -> list[str]:
    module = local_executor.__name__ if local_executor.is_local(arguments) else "snakemake"
    return [sys.executable, "-m", module, *arguments]


def _busy(pid: int | str) -> str:
    return f"another run uses this directory (pid {pid}); wait for it or stop it"


def _processes(directory: Path) -> Iterator[tuple[psutil.Process, list[str]]]:
    """Live processes with working directory `directory`, without this one and its parents."""
    here = directory.resolve()
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid not in ours and Path(process.cwd()) == here:
                yield process, process.cmdline()
        except psutil.Error:
            # it has ended, or it belongs to another user
            continue


def _is_snakemake(command: Sequence[str]) -> bool:
    """Whether a command line is `[python] snakemake ...` or `python -m` of a module of it."""
    words = (Path(argument).name for argument in command if not argument.startswith("-"))
    program = next(dropwhile(lambda word: word.startswith("python"), words), "")
    return program in ("snakemake", local_executor.__name__)


def _descendants(processes: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            yield from process.children(recursive=True)


def _wait(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Processes that still run after `seconds`.

    A zombie counts as ended: without an init process in the container it stays one forever.
    """
    deadline = time.monotonic() + seconds
    alive = list(processes)
    while alive := [process for process in alive if _runs(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

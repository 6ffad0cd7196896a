# SPDX-License-Identifier: MIT
"""Run Snakemake so that the same command goes on after a kill.

Snakemake locks its working directory with files that a killed run leaves behind, and the scripts of
a killed run can outlive it. Before a run starts, this makes sure that it is the only writer:

1. It takes an exclusive `flock`, which the kernel releases however a run ends. A second run is told
   the pid of the first.
2. A Snakemake started by hand in the same directory is respected in the same way.
3. What is then left is of dead runs: their scripts are ended, and their lock is removed by
   `snakemake --unlock`.
4. The process becomes Snakemake (`exec`), so that its exit code, its signals, its process group and
   the `flock` are those of the run itself.

All this sees the processes of one machine. In a directory shared by several, start Snakemake by
hand, which leaves its lock to the user.
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
"""Where Snakemake keeps the scripts it runs; part of the command line of each `script:` job."""

CONFIG_OPTIONS: Final = ("--configfile", "--configfiles")

KILLED_WAIT: Final = 2.0
"""Seconds a killed run may take to leave the process table and with it the `flock`."""
TERMINATE_WAIT: Final = 10.0
"""Seconds that a script has to clean up after SIGTERM before it is killed."""


class MissingConfigError(FileNotFoundError):
    """A config file that does not exist; Snakemake would show where it raised that."""


class BusyError(RuntimeError):
    """Another run is at work in this directory; the message is one line with its pid."""


def run(arguments: Sequence[str]) -> NoReturn:
    """Become `snakemake ARGUMENTS` in the current directory, as its only writer.

    Args:
        arguments: of Snakemake, e.g. `["--profile", "local", "--cores", "2"]`.

    Raises:
        MissingConfigError: a config file that is named does not exist.
        BusyError: another run is at work here.
        SystemExit: the lock of a dead run could not be removed; the code is that of
            `snakemake --unlock`, which has said why.
    """
    require_config_files(arguments)
    lock = take_lock(Path.cwd())
    respect_snakemake(Path.cwd())
    end_orphans(Path.cwd())
    if any(SNAKEMAKE_LOCKS.glob("*.lock")):
        unlock(arguments)
    become(_snakemake(arguments), lock)


def become(command: Sequence[str], lock: int) -> NoReturn:
    """Go on as another command of this Python, which holds the lock until it ends."""
    os.set_inheritable(lock, True)
    # the commands of this environment, for rules with a shell, also if it is not activated
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    sys.stdout.flush()
    os.execve(sys.executable, list(command), {**os.environ, "PATH": commands})


def require_config_files(arguments: Sequence[str]) -> None:
    """Refuse config files that do not exist.

    Raises:
        MissingConfigError: one line with the first of them.
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
    """The open, exclusively locked file that marks `directory` as having a run.

    Returns:
        A file descriptor; the lock lasts until each copy of it is closed.

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
    """Refuse to go on beside a Snakemake that runs in `directory`.

    Args:
        directory: in which it would work.
        jobs: whether one that runs a single job for another Snakemake counts too.

    Raises:
        BusyError: there is one.
    """
    for process, command in _processes(directory):
        if _is_snakemake(command) and (jobs or "--mode" not in command):
            raise BusyError(_busy(process.pid))


def end_orphans(directory: Path) -> list[int]:
    """End job scripts that run in `directory`, with all their children, and wait for their end.

    Only to be called when no Snakemake runs there, so that they can only be of a dead run: left
    alone, they would write the outputs that the next run makes again.

    Returns:
        The pids of what was ended.

    Raises:
        BusyError: a process does not end, not even when killed.
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
    """Remove the lock that a dead Snakemake left, as Snakemake itself does it.

    Raises:
        SystemExit: Snakemake refused, e.g. as the config is wrong; it has said why.
    """
    done = subprocess.run(_snakemake(["--unlock", *arguments]), capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(done.returncode)


def _snakemake(arguments: Sequence[str]) -> list[str]:
    module = local_executor.__name__ if local_executor.is_local(arguments) else "snakemake"
    return [sys.executable, "-m", module, *arguments]


def _busy(pid: int | str) -> str:
    return f"another run is at work in this directory (pid {pid}); wait for it or stop it"


def _processes(directory: Path) -> Iterator[tuple[psutil.Process, list[str]]]:
    """Living processes, other than this one and its parents, that work in `directory`."""
    here = directory.resolve()
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid not in ours and Path(process.cwd()) == here:
                yield process, process.cmdline()
        except psutil.Error:
            # ended meanwhile, or another user's: not ours to judge
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
    """Those of the processes that still run after at most `seconds`.

    A zombie does not run; in a container without an init process it stays one for ever.
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

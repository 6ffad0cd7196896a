# SPDX-License-Identifier: MIT
"""A real SLURM on this one machine, for tests: no systemd, no cgroups, no database.

    python tests/slurm/cluster.py up|down|status

`up` installs Debian's packages if they are missing, and starts a munged, a slurmctld and a slurmd
of its own; called again it does nothing. `down` stops what `up` started and nothing else, and takes
the config out of /etc/slurm again: a SLURM that is configured and does not answer makes each
Snakemake of this machine wait ten seconds. All else stays in `STATE`, one folder a machine, since
the ports and /etc/slurm are the machine's too.

The node claims more CPUs than there are and GPUs that do not exist: they are scheduled, not used.
SLURM's defaults are kept where they are hard on a workflow: a request that no node meets is queued
for ever (EnforcePartLimits=NO), and there is no accounting, so `sacct` fails.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from daemons import STATE, Daemon, becomes

ETC: Final = Path("/etc/slurm")
PACKAGES: Final = ("munge", "slurm-client", "slurmctld", "slurmd")
POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""While this says no, a package that is installed starts no daemon."""

CPUS: Final = 8
MEMORY: Final = 12_000
"""MB that the node claims; the most that a job of the tests may ask for."""
GPU: Final = "pretend"
"""The type of the node's GPUs."""
GPU_FILES: Final = ("/dev/null", "/dev/zero")
"""A device file stands for each GPU; the files must differ."""

PATIENCE: Final = 120.0
"""Seconds that a daemon may take to answer, on a machine that is busy."""
CALL_PATIENCE: Final = 30.0
"""Seconds after which a call of SLURM's commands is given up."""

CONF: Final = Path(__file__).with_name("slurm.conf")
"""SLURM's config, with names in braces for what depends on the machine."""


class Unavailable(RuntimeError):
    """SLURM cannot be started here; the message says why."""


MUNGED: Final = Daemon(
    "munged",
    (
        "/usr/sbin/munged",
        "--foreground",
        f"--socket={STATE}/munge/socket",
        f"--key-file={STATE}/munge/key",
        f"--seed-file={STATE}/munge/seed",
        f"--log-file={STATE}/munge/log",
        f"--pid-file={STATE}/munge/pid",
    ),
)
CONTROLLER: Final = Daemon("slurmctld", ("/usr/sbin/slurmctld", "-D"))
NODE: Final = Daemon("slurmd", ("/usr/sbin/slurmd", "-D"))


def up() -> bool:
    """Make the cluster ready to run jobs.

    Returns:
        Whether it had to be started.

    Raises:
        Unavailable: not root, a SLURM of somebody else's, no packages, or a daemon does not answer.
    """
    if os.geteuid() != 0:
        raise Unavailable("a SLURM of one's own needs root")
    install()
    configure()
    if answers() and NODE.pid is not None and idle():
        return False
    MUNGED.start()
    start_controller()
    NODE.start()
    require(idle, "the node is ready")
    require(runs_steps, "a first step runs")
    return True


def down() -> None:
    """Cancel all jobs, stop the daemons, and leave no config behind."""
    if CONTROLLER.pid is not None and NODE.pid is not None:
        cancel_all()
    for daemon in (NODE, CONTROLLER, MUNGED):
        daemon.stop()
    for name in ("slurm.conf", "gres.conf"):
        if _ours(ETC / name):
            (ETC / name).unlink()


def cancel_all() -> None:
    """Cancel every job and wait until none is left: steps outlive their daemon."""
    if queue():
        subprocess.run(["scancel", "--user=root"], timeout=CALL_PATIENCE, check=False)
        becomes(lambda: not queue(), PATIENCE)


def left_over() -> list[str]:
    """The jobs that are still there after those that are ending have had time to end."""
    becomes(lambda: not queue(), PATIENCE)
    return queue()


def install() -> None:
    """Install Debian's packages if one of them is missing.

    Raises:
        Unavailable: this is no Debian, or the packages cannot be had.
    """
    missing = [name for name in PACKAGES if not _installed(name)]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Unavailable(f"SLURM's packages are missing and this is no Debian: {missing}")
    print(f"installing Debian's packages: {' '.join(missing)}", flush=True)
    forbid = not POLICY.exists()
    if forbid:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        apt_get = ("apt-get", "-q", "-y", "--no-install-recommends", "install", *missing)
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        try:
            _call(*apt_get, seconds=600, **quiet)
        except Unavailable:  # the list of packages may be old
            _call("apt-get", "-q", "update", seconds=600)
            _call(*apt_get, seconds=600, **quiet)
    finally:
        if forbid:
            POLICY.unlink()


def configure() -> None:
    """Write the config and make /etc/slurm point to it.

    /etc, as the plugin removes SLURM_CONF from the environment of job steps.

    Raises:
        Unavailable: this machine has a SLURM that is not ours.
    """
    for name in ("slurm.conf", "gres.conf"):
        if os.path.lexists(ETC / name) and not _ours(ETC / name):
            raise Unavailable(f"{ETC / name} is there: the SLURM of this machine is left alone")
    for folder in ("controller", "node", "munge"):
        (STATE / folder).mkdir(parents=True, exist_ok=True, mode=0o755)
    key = STATE / "munge" / "key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
    host = _host()
    files = {
        "slurm.conf": CONF.read_text().format(
            host=host, state=STATE, addresses=_addresses(host),
            cpus=CPUS, memory=MEMORY, gpus=f"gpu:{GPU}:{len(GPU_FILES)}",
        ),
        "gres.conf": "".join(
            f"NodeName={host} Name=gpu Type={GPU} File={file}\n" for file in GPU_FILES
        ),
    }  # fmt: skip
    changed = [name for name, text in files.items() if _text(STATE / name) != text]
    if changed:
        down()
        for folder in ("controller", "node"):
            shutil.rmtree(STATE / folder)
            (STATE / folder).mkdir(mode=0o755)
    ETC.mkdir(exist_ok=True)
    for name, text in files.items():
        (STATE / name).write_text(text)
        if not _ours(ETC / name):
            (ETC / name).symlink_to(STATE / name)


def stop_controller() -> None:
    """Stop slurmctld alone: jobs go on."""
    CONTROLLER.stop()


def start_controller(*, forgetful: bool = False) -> None:
    """Start slurmctld, with the state that it left or without it.

    Raises:
        Unavailable: it does not answer.
    """

    def answers_now() -> bool:
        # the port of the one before may be taken for a while; then the new one ends at once
        CONTROLLER.start(*(["-c"] if forgetful else []))
        return answers()

    require(answers_now, "slurmctld answers")


def answers() -> bool:
    """Whether slurmctld answers."""
    return CONTROLLER.pid is not None and " is UP" in _said("scontrol", "ping")


def idle() -> bool:
    """Whether the node takes jobs; one that an unclean end left down is resumed."""
    state = _said("sinfo", "--noheader", "--format=%T").split("\n")[0].strip()
    if state.startswith(("down", "drain")):
        _said("scontrol", "update", f"nodename={_host()}", "state=resume")
    return state in {"idle", "mixed", "allocated", "completing"}


def runs_steps() -> bool:
    """Whether a job step runs: the state that sinfo shows may be one that was saved."""
    return _said("srun", "-Q", "-n1", "--mem=100", "-t1", "echo", "ran").strip() == "ran"


def queue() -> list[str]:
    """The jobs that are not at their end: id, state, name, reason."""
    return _said("squeue", "--noheader", "--format=%i %T %j %r").splitlines()


def require(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds.

    Raises:
        Unavailable: it does not within `PATIENCE`; with the end of the logs.
    """
    if not becomes(condition, PATIENCE):
        ends = "\n".join(
            f"{log.name}: {line}"
            for log in sorted(STATE.glob("*.log"))
            for line in log.read_text(errors="replace").splitlines()[-5:]
        )
        raise Unavailable(f"waited {PATIENCE:.0f} s in vain until {what}\n{ends}")


def _addresses(host: str) -> str:
    """Listen on loopback alone where the name of the host leads there."""
    try:
        local = socket.gethostbyname(host).startswith("127.")
    except OSError:
        local = False
    return "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" if local else ""


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _ours(link: Path) -> bool:
    return link.is_symlink() and Path(os.readlink(link)).parent == STATE


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return shutil.which("dpkg-query") is not None and _said(*query) == "installed"


def _said(*command: str) -> str:
    """What a command prints; nothing if it fails or does not end."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CALL_PATIENCE)
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _call(*command: str, seconds: float = CALL_PATIENCE, **environment: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=seconds, env={**os.environ, **environment}, text=True,
    )  # fmt: skip
    if done.returncode:
        said = "".join(done.stdout.strip().splitlines()[-1:])
        raise Unavailable(f"{' '.join(command)}: exit code {done.returncode}: {said}")


def main(arguments: Sequence[str]) -> int:
    """The command line; exit code 1 if the cluster is not up after `up` or `status`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=("up", "down", "status"))
    action = parser.parse_args(arguments).action
    began = time.monotonic()
    try:
        if action == "down":
            down()
            print("SLURM is stopped")
            return 0
        if action == "up":
            started = up()
            print(f"SLURM {'started' if started else 'was up'} ({time.monotonic() - began:.1f} s)")
        if not answers():
            print("SLURM is not up")
            return 1
    except Unavailable as error:
        print(f"cluster.py: {error}", file=sys.stderr)
        return 1
    print(_said("sinfo", "--format=%P %D %T %c CPUs %m MB %G").strip())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: MIT
"""Snakemake is killed or loses SLURM: the same command resumes, with one writer at a time."""

import time
from pathlib import Path

import checkout
import cluster
from runs import FAULTS, Run, diary, state

SLOW = f"{FAULTS}/slow.txt"


def started(folder: Path, times: int = 1) -> bool:
    """Whether at least this number of attempts of the slow rule have started."""
    return [event for event, _ in diary(folder, "slow")].count("start") >= times


def run_slow(folder: Path, seconds: int, *options: str) -> Run:
    """Start a run whose last job takes the given seconds, and wait until that job runs."""
    (folder / "seconds.txt").write_text(str(seconds))
    run = Run(folder, SLOW, options=options)
    run.wait_until(lambda: started(folder))
    return run


def complete(folder: Path) -> bool:
    """Whether the output of the slow rule is complete and no partial file is left."""
    problems = folder / "results/smoke/general_points/data/problems.csv"
    return (folder / SLOW).read_bytes() == problems.read_bytes() and not checkout.leftovers(folder)


def test_jobs_are_not_lost_while_slurmctld_is_down(fresh: Path) -> None:
    run = run_slow(fresh, 40)
    cluster.stop_controller()
    try:
        # long enough for a query to fail: clients retry for ten seconds
        run.wait_until(lambda: "the jobs are assumed to be running" in run.said)
        time.sleep(30)  # the job ends meanwhile
    finally:
        cluster.start_controller()
    assert run.finish() == 0, run.said
    assert complete(fresh)
    [(_, number), _] = diary(fresh, "slow")
    assert state(number)["JobState"] == "COMPLETED"


def test_a_job_that_slurm_has_lost_is_rerun(fresh: Path) -> None:
    run = run_slow(fresh, 600)
    (fresh / "seconds.txt").write_text("0")
    cluster.stop_controller()
    cluster.start_controller(forgetful=True)
    assert run.finish() == 0, run.said
    assert complete(fresh)
    assert [event for event, _ in diary(fresh, "slow")].count("start") == 2


def test_after_a_kill_the_same_command_waits_for_the_orphaned_job(fresh: Path) -> None:
    # enough for two starts of Snakemake while other tests keep the cores busy
    run_slow(fresh, 60).kill()
    [(_, orphan)] = diary(fresh, "slow")
    assert state(orphan)["JobState"] == "RUNNING"

    again = Run(fresh, SLOW)
    again.wait_until(lambda: f"waiting for 1 orphaned jobs: {orphan} (slow" in again.said)
    second = Run(fresh, SLOW)
    assert (
        second.finish(),
        second.last.startswith("derotate: another run uses this directory"),
    ) == (
        1,
        True,
    )
    assert again.finish() == 0, again.said
    assert diary(fresh, "slow") == [("start", orphan), ("end", orphan)]
    assert complete(fresh)
    assert "Nothing to be done" in again.said

    # the provenance of the orphan's output is recorded, although no Snakemake saw it end
    checkout.edit(fresh, "tests/slurm/Snakefile", "echo half > {output}; sleep $(", "sleep $(")
    edited = Run(fresh, "--dry-run", SLOW)
    assert edited.finish() == 0, edited.said
    assert "Code has changed since last execution" in edited.said


def test_after_a_kill_the_orphaned_job_can_be_cancelled(fresh: Path) -> None:
    run_slow(fresh, 600).kill()
    [(_, orphan)] = diary(fresh, "slow")
    (fresh / "seconds.txt").write_text("0")

    again = Run(fresh, SLOW, options=("--orphans", "cancel"))
    assert again.finish() == 0, again.said
    assert state(orphan)["JobState"] == "CANCELLED"
    events = diary(fresh, "slow")
    assert [event for event, _ in events] in (["start", "end"] * 2, ["start", "start", "end"])
    assert complete(fresh)
    assert "Finished jobid" in again.said
    assert "(Rule: problems)" not in again.said


def test_an_interrupt_cancels_the_jobs(fresh: Path) -> None:
    run = run_slow(fresh, 600)
    run.interrupt()
    assert run.finish() != 0
    assert cluster.left_over() == []
    [(_, number), *_] = diary(fresh, "slow")
    assert state(number)["JobState"] == "CANCELLED"
    assert not (fresh / SLOW).exists()

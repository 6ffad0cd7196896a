# SPDX-License-Identifier: MIT
"""Snakemake on SLURM that neither loses its jobs nor waits forever.

`python -m derotate.runs.slurm.executor ARGUMENTS` is `python -m snakemake ARGUMENTS` with these
changes to snakemake-executor-plugin-slurm 2.8:

- If a status query fails, jobs stay active until a query succeeds. The plugin drops them all and
  waits forever.
- A job that SLURM no longer knows has ended. It succeeded if its outputs exist and are not marked
  incomplete. The plugin waits forever.
- Jobs are not submitted while slurmctld does not answer. That would use up their retries.
- A job that can never start is cancelled, with the reason, instead of pending forever.
- Provenance of a job (code, params, inputs) is recorded at submission. Snakemake records it when it
  sees the end of the job, which a killed Snakemake does not. Without the record a later edit would
  not rerun that job.
- The last wait between two queries ends with the run.

At the end, one line per job that SLURM refused or ended follows Snakemake's own output.
"""

import asyncio
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import snakemake_executor_plugin_slurm as plugin
from snakemake_executor_plugin_slurm import SubmittedJobInfo

from derotate.runs.slurm import cluster
from derotate.runs.slurm.orphaned_jobs import MARK
from derotate.runs.slurm.pending_reasons import explained, explained_by_logs, never

CONTROLLER_SECONDS: Final = 5.0
"""Between two checks whether slurmctld answers again."""
FULL: Final = 5 * 2**20
"""Free bytes below which the disk counts as full."""


@dataclass
class Record:
    """Problems of a run.

    Attributes:
        failed: reason by failed job; jobs that succeed in a later attempt are removed.
        least_free: minimum of the free bytes on the disk.
    """

    failed: dict[str, str] = field(default_factory=dict)
    least_free: int = sys.maxsize

    def look_at(self, folder: Path) -> None:
        """Record the free disk space now: a job that fails on a full disk frees space again."""
        self.least_free = min(self.least_free, shutil.disk_usage(folder).free)

    def lines(self, folder: Path) -> list[str]:
        """One line per job whose last attempt failed because of SLURM, and one for a full disk."""
        lines = [f"{name}: {why}" for name, why in self.failed.items()]
        if self.least_free < FULL:
            lines.append(
                f"{folder}: the disk was full during the run; it has "
                f"{shutil.disk_usage(folder).free / 2**20:.0f} MB free now: free disk space, then "
                "repeat the same command, which resumes"
            )
        return lines


class PatientExecutor(plugin.Executor):
    """The plugin's executor with the changes above."""

    record = Record()

    @property
    def _first_wait(self) -> int:
        return self.workflow.executor_settings.init_seconds_before_status_checks

    def __post_init__(self, test_mode: bool = False) -> None:
        super().__post_init__(test_mode)
        self._ended: set[str | None] = set()
        self._missing: set[str | None] = set()
        self._never: dict[str, str] = {}
        self._cancelled = threading.Event()

    def run_job(self, job: Any) -> None:
        """Submit a job once slurmctld answers; called in a thread of its own."""
        told = False
        while not cluster.answers():
            if not told:
                told = True
                self.logger.warning("slurmctld does not answer; jobs are submitted when it does.")
            if self._cancelled.wait(CONTROLLER_SECONDS):
                return
        super().run_job(job)

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        """Record the provenance of the job at submission."""
        super().report_job_submission(job_info, register_job=register_job)
        # Snakemake's own event loop runs now and then only, so a task in it might come too late
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, self._note(job_info)).result()

    async def _note(self, job_info: SubmittedJobInfo) -> None:
        persistence = self.workflow.persistence
        for job in job_info.job.jobs if job_info.job.is_group() else [job_info.job]:
            with suppress(OSError):  # a full disk: the job itself will fail, and say so
                await persistence.finished(job)  # writes the note, and takes the outputs as whole
                persistence.started(job, job_info.external_jobid)

    def cancel(self) -> None:
        """End the run without submitting pending jobs."""
        self._cancelled.set()
        super().cancel()

    async def sleep(self) -> None:
        """Wait until the next query, but not beyond the end of the run."""
        end = time.monotonic() + self.next_seconds_between_status_checks
        while self.wait and (left := end - time.monotonic()) > 0:
            self.record.look_at(Path.cwd())
            await asyncio.sleep(min(left, 1.0))

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncIterator[SubmittedJobInfo]:
        """Report the jobs that are at their end and yield the others."""
        if not active_jobs:  # nor may this object be complete yet: queries begin in its constructor
            self.next_seconds_between_status_checks = self._first_wait
            return
        async for _ in super().check_active_jobs(active_jobs):
            pass  # what the plugin does not report is still active, whether it yields it or not
        left = [job for job in active_jobs if job.external_jobid not in self._ended]
        known = self._known()
        for job in left:
            if known is None or job.external_jobid in known:
                self._missing.discard(job.external_jobid)
            elif job.external_jobid in self._missing:
                if await self._is_done(job):
                    self.report_job_success(job)
                else:
                    self.report_job_error(job, msg="SLURM has forgotten it before it was done. ")
                continue
            else:  # it may be too new; queried again
                self._missing.add(job.external_jobid)
            yield job

    def report_job_success(self, job_info: SubmittedJobInfo) -> None:
        """Note that the job is at its end."""
        self._ended.add(job_info.external_jobid)
        self.record.failed.pop(_name(job_info), None)
        super().report_job_success(job_info)

    def report_job_error(
        self, job_info: SubmittedJobInfo, msg: str | None = None, **more: Any
    ) -> None:
        """Record that the job has ended, and the reason if SLURM is the cause."""
        self._ended.add(job_info.external_jobid)
        why = (
            self._never.get(job_info.external_jobid or "")
            or explained(msg or "")
            or explained_by_logs(_logs(job_info))
        )
        self.record.failed.pop(_name(job_info), None)
        if why:
            self.record.failed[_name(job_info)] = why
        super().report_job_error(job_info, msg=msg, **more)

    async def _is_done(self, job_info: SubmittedJobInfo) -> bool:
        """Whether all outputs exist and none is marked incomplete."""
        jobs = job_info.job.jobs if job_info.job.is_group() else [job_info.job]
        return all(
            [
                all(Path(output).exists() for output in job.output)
                and not await self.workflow.persistence.incomplete(job)
                for job in jobs
            ]
        )

    def _known(self) -> set[str] | None:
        """Ids of this run's jobs that SLURM knows; None if it does not answer.

        Also cancels jobs that can never start.
        """
        try:
            jobs = cluster.jobs_of(self.run_uuid)
            for job in jobs:
                why = never(job.reason) if job.state == "PENDING" else None
                if why:
                    self._never[job.number] = f"it can never start ({job.reason}): {why}"
                    self.logger.warning(f"{job.rule}: {self._never[job.number]}; cancelled.")
                    cluster.cancel([job.number])
        except cluster.SlurmError as error:
            self.logger.warning(f"{error}; the jobs are assumed to be running.")
            return None
        return {job.number for job in jobs}


def main(arguments: Sequence[str]) -> int:
    """Run Snakemake, print one line per job that SLURM refused or ended, return its exit code."""
    plugin.Executor = PatientExecutor
    from snakemake.cli import main as snakemake

    try:
        snakemake(arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    with suppress(cluster.SlurmError):
        if not cluster.left_in(Path.cwd()):
            MARK.unlink(missing_ok=True)
    if code:
        record = PatientExecutor.record
        record.look_at(Path.cwd())
        for line in record.lines(Path.cwd()):
            print(f"derotate: {line}", file=sys.stderr)
    return code


def _logs(job_info: SubmittedJobInfo) -> list[Path]:
    """The logs of a job: SLURM's and the rule's."""
    written = [job_info.aux.get("slurm_logfile"), *job_info.job.log]
    return [Path(log) for log in written if log]


def _name(job_info: SubmittedJobInfo) -> str:
    """Rule and wildcards."""
    job = job_info.job
    if job.is_group():
        return f"group {job.name}"
    wildcards = ", ".join(f"{key}={value}" for key, value in job.wildcards_dict.items())
    return f"{job.name} ({wildcards})" if wildcards else str(job.name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

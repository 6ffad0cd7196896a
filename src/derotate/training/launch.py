# SPDX-License-Identifier: MIT
"""Run a function in several processes of this node that work together, by torch's own launcher.

The processes write to the output of this one, which is the job's log. When one of them fails, the
others are ended and the failure is raised here, in one line; a signal that ends this process ends
them too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from derotate.files.scratch import scratch, scratch_folder


class LaunchError(RuntimeError):
    """A process that failed, or cannot be started: one line."""


def launch(
    function: Callable[..., None], *, processes: int, beside: Path, arguments: Mapping[str, Any]
) -> None:
    """Call the function with the arguments in each process; with one, just here.

    The function and the arguments must be picklable: each process imports the function's module
    anew, and the script that calls this must be guarded by `if __name__ == "__main__"`.

    Args:
        function: what each process does; torch's variables (RANK, WORLD_SIZE, ...) are set there.
        processes: how many, one for each GPU where there are GPUs.
        beside: a file of the job, beside which the launcher keeps its notes for the time.
        arguments: of the function, by name.

    Raises:
        LaunchError: a process failed, was killed, or has no GPU of its own.
    """
    if processes == 1:
        function(**arguments)
        return
    import torch
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.utils.distributed import get_free_port
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise LaunchError(
            f"processes: got {processes}, this node gives the job {gpus} GPUs, expected one for "
            "each process; ask for as many or lower processes"
        )
    sys.stdout.flush()
    sys.stderr.flush()
    with scratch(beside.with_name(f"{beside.name}.processes")) as notes:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            # of this process's own store; the other kind takes a starved process for a dead one
            rdzv_backend="static",
            rdzv_endpoint=f"127.0.0.1:{get_free_port()}",
            rdzv_configs={"rank": 0},
            run_id="derotate",
            # the workflow repeats a failed job, with more memory and time
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=str(notes)),
        )
        try:
            elastic_launch(config, _call)(function, dict(arguments))
        except ChildFailedError as error:
            raise LaunchError(_told(error, processes)) from None


def is_first() -> bool:
    """Whether this is the first of the processes, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


def wait_for_all() -> None:
    """Return when every process has come here."""
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.barrier()


@contextmanager
def scratch_of_all(target: Path) -> Iterator[Path]:
    """The scratch folder beside a file, which the first process makes and removes."""
    if is_first():
        with scratch(target) as folder:
            yield folder
    else:
        yield scratch_folder(target)


def _call(function: Callable[..., None], arguments: Mapping[str, Any]) -> None:
    """What a process does; the group that the trainer made ends with it."""
    import torch.distributed
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        function(**arguments)
    except CheckpointException as error:  # no Exception, so the launcher would not be told of it
        last = str(error).splitlines()[-1]
        raise LaunchError(
            f"the training state cannot be read or written ({last}); expected what processes of "
            "this study left, make the segment before again"
        ) from error
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _told(error: Any, processes: int) -> str:
    """The first failure in one line; its traceback goes to standard error."""
    rank, failure = error.get_first_failure()
    message = failure.message
    if isinstance(message, dict):
        details = message.get("extraInfo", {})
        print(details.get("py_callstack", ""), file=sys.stderr)
        message = message.get("message", "")
    reason = " ".join(str(message).split())
    return f"process {rank + 1} of {processes} failed, the others were ended: {reason}"

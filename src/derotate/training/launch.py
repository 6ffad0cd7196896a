# SPDX-License-Identifier: MIT
"""Run a function in several processes of one node, by torch's elastic launcher.

The processes write to this process's output, which is the job's log. If one fails, the launcher
ends the others and the failure is raised here in one line. A signal that ends this process ends
them too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from derotate.files.scratch import scratch


class LaunchError(RuntimeError):
    """A process failed or cannot be started; one line."""


def launch(
    function: Callable[..., None], *, processes: int, log: Path, arguments: Mapping[str, Any]
) -> None:
    """Call a function with the same arguments in every process; with one process, call it here.

    Function and arguments are pickled. Each process imports the function's module again, so the
    calling script must be guarded by `if __name__ == "__main__"`.

    Args:
        function: to run; torch's variables (RANK, WORLD_SIZE, ...) are set in its environment.
        processes: number of processes, one per GPU where there are GPUs.
        log: a file of the job; the launcher's temporary files go beside it.
        arguments: keyword arguments of the function.

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
            f"processes: got {processes}, but the job has {gpus} GPUs on this node, expected one "
            "GPU per process; request more GPUs or lower processes"
        )
    sys.stdout.flush()
    sys.stderr.flush()
    with scratch(log.with_name(f"{log.name}.processes")) as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            # the dynamic rendezvous declares a process dead that was only starved of CPU
            rdzv_backend="static",
            rdzv_endpoint=f"127.0.0.1:{get_free_port()}",
            rdzv_configs={"rank": 0},
            run_id="derotate",
            # Snakemake restarts a failed job, with more memory and time
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
        )
        try:
            elastic_launch(config, _run)(function, dict(arguments))
        except ChildFailedError as error:
            raise LaunchError(_first_failure(error, processes)) from None


def _run(function: Callable[..., None], arguments: Mapping[str, Any]) -> None:
    """Body of a process; destroys the process group that the training created."""
    import torch.distributed
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        function(**arguments)
    # a BaseException, which the launcher's error handler does not report
    except CheckpointException as error:
        reason = str(error).splitlines()[-1]
        raise LaunchError(
            f"the training state cannot be read or written ({reason}); expected a state written by "
            "this study; run the previous segment again"
        ) from error
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _first_failure(error: Any, processes: int) -> str:
    """The first failure in one line; its traceback goes to standard error."""
    rank, failure = error.get_first_failure()
    message = failure.message
    if isinstance(message, dict):
        details = message.get("extraInfo", {})
        print(details.get("py_callstack", ""), file=sys.stderr)
        message = message.get("message", "")
    reason = " ".join(str(message).split())
    return f"process {rank + 1} of {processes} failed, the others were ended: {reason}"

# SPDX-License-Identifier: MIT
"""The training samples of the arm whose prompts vary, as a file.

Apart from `derotate.stages.data`, which is in the digests of problems and of SFT: an edit there
trains and evaluates everything again.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from derotate import tasks
from derotate.stages.data import write_text


def write_diverse_samples(
    task: str, *, style: str, seed: int, batch_size: int, after: int, last: int, out: Path
) -> None:
    """Prompt and response of the arm's steps `after` + 1 to `last`, in the order of training.

    Args:
        task: one whose prompts can vary.
        style: of prompts and responses, compact or natural.
        seed: of the run; SFT has the same hands in the same order with it.
        batch_size: samples a step.
        after: step that these samples follow.
        last: step that they lead to.
        out: JSON lines, as those of SFT.

    Raises:
        ValueError: a task whose prompts cannot vary.
    """
    part = tasks.load(task).diverse
    if part is None:
        raise ValueError(
            f"task: got {task}, expected one whose prompts can vary; leave diverse.steps empty"
        )
    stream = part.diverse_stream(seed)
    prompts = tasks.load(task).prompts
    samples = (
        {"prompt": prompts.prompt(problem, style), "response": prompts.response(problem, style)}
        for problem in islice(stream, after * batch_size, last * batch_size)
    )
    write_text(out, "".join(f"{json.dumps(sample)}\n" for sample in samples))

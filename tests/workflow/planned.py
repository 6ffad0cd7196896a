# SPDX-License-Identifier: MIT
"""Plan a study as `snakemake -n ARGUMENTS` does; print the jobs with resources and outputs as JSON.

The JSON also lists the modules that planning imported and the result files that it opened. Only a
separate process can tell these.
"""

import json
import sys
from pathlib import Path
from typing import Any

from derotate.runs.dry_run import planned

OPENED: set[str] = set()
RESULTS = Path("results").absolute()


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: record each file under results/ that is opened."""
    if event == "open" and isinstance(arguments[0], str):
        file = Path(arguments[0]).absolute()
        if file.is_relative_to(RESULTS):
            OPENED.add(str(file.relative_to(RESULTS.parent)))


if __name__ == "__main__":
    sys.addaudithook(note)
    jobs = [
        {
            "rule": job.rule,
            "resources": dict(job.resources),
            "made": [*job.outputs, *job.logs, *filter(None, [job.benchmark])],
        }
        for job in planned(sys.argv[1:])
    ]
    print(json.dumps({"jobs": jobs, "modules": sorted(sys.modules), "opened": sorted(OPENED)}))

# SPDX-License-Identifier: MIT
"""Plan a study as `snakemake -n ARGUMENTS` does; print as JSON what jobs ask for and make.

Printed too are the modules that planning imported and the results that it opened: a process of its
own is the only way to know.
"""

import json
import sys
from pathlib import Path
from typing import Any

from derotate.runs.dry_run import planned

OPENED: set[str] = set()
RESULTS = Path("results").absolute()


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Note the files under results/ that are opened."""
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

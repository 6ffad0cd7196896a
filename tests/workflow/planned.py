# SPDX-License-Identifier: MIT
"""Plan a study as `snakemake -n ARGUMENTS` does; print as JSON what jobs ask for and make.

Snakemake shows a job's message in place of all else, but tells its log handlers everything. Printed
too are the modules that planning imported and the results that it opened: a process of its own is
the only way to know.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

from snakemake.logging import logger

from derotate import local_snakemake

JOBS: list[dict[str, object]] = []
OPENED: set[str] = set()
RESULTS = Path("results").absolute()


def keep(record: logging.LogRecord) -> bool:
    """Keep rule, resources and files of a planned job; let every record pass."""
    rule = getattr(record, "rule_name", None)
    if rule is not None and hasattr(record, "resources"):
        made = [*record.output, *record.log, *filter(None, [record.benchmark])]
        asked = dict(record.resources.items())
        JOBS.append({"rule": rule, "resources": asked, "made": [str(file) for file in made]})
    return True


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Note the files under results/ that are opened."""
    if event == "open" and isinstance(arguments[0], str):
        file = Path(arguments[0]).absolute()
        if file.is_relative_to(RESULTS):
            OPENED.add(str(file.relative_to(RESULTS.parent)))


if __name__ == "__main__":
    sys.addaudithook(note)
    # Snakemake drops handlers that it finds, filters stay
    logger.addFilter(keep)
    sys.argv[1:1] = ["--dry-run", "--quiet", "all"]
    try:
        if local_snakemake.serves(sys.argv):
            local_snakemake.main()
        else:
            from snakemake.cli import main

            main()
    except SystemExit as end:
        if end.code:
            raise
    print(json.dumps({"jobs": JOBS, "modules": sorted(sys.modules), "opened": sorted(OPENED)}))

# SPDX-License-Identifier: MIT
"""Plan a study as `snakemake -n ARGUMENTS` does, and print what each job asks for as JSON.

Snakemake shows a job's message in place of its resources, but tells its log handlers both. The
modules that planning has imported are printed too: a process of its own is the only way to know.
"""

import json
import logging
import sys

from snakemake.cli import main
from snakemake.logging import logger

JOBS: list[dict[str, object]] = []


def keep(record: logging.LogRecord) -> bool:
    """Keep rule and resources of a planned job; let every record pass."""
    rule = getattr(record, "rule_name", None)
    if rule is not None and hasattr(record, "resources"):
        JOBS.append({"rule": rule, "resources": dict(record.resources.items())})
    return True


if __name__ == "__main__":
    # Snakemake drops handlers that it finds, filters stay
    logger.addFilter(keep)
    try:
        main(["--dry-run", "--quiet", "all", *sys.argv[1:]])
    except SystemExit as end:
        if end.code:
            raise
    print(json.dumps({"jobs": JOBS, "modules": sorted(sys.modules)}))

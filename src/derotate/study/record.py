# SPDX-License-Identifier: MIT
"""The config that a study's results were made with, and where it ran, kept in its folder.

Written when a run starts: the config, with what `--config` and further config files changed, is
read by what looks at a finished study; time, machine and versions are for people. No rule reads
either: they invalidate nothing.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from derotate.config.schema import Config, ConfigError, load
from derotate.files.atomic import atomic_write_text
from derotate.study.paths import Paths, Run

FILE = "config.yaml"
ENVIRONMENT = "environment.json"
LIBRARIES = ("derotate", "torch", "transformers", "trl", "peft", "snakemake")


def write(config: Config, folder: Path | None = None) -> Path:
    """Record the complete config of a study in its folder (by default that of its results)."""
    path = (folder or Path(Paths.of(config).study)) / FILE
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    atomic_write_text(path, f"# All keys of the last run, recorded by it.\n{text}")
    return path


def write_environment(config: Config) -> Path:
    """Record time, machine and versions of the study's last run beside its config."""
    path = Path(Paths.of(config).study, ENVIRONMENT)
    values = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{library: _version(library) for library in LIBRARIES},
        "commit": _commit(),
    }
    atomic_write_text(path, json.dumps(values, indent=2) + "\n")
    return path


def _version(library: str) -> str | None:
    """Version of a library; None if only the rules' environments have it."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _processor() -> str | None:
    """Name of the processor; the last bits of all results depend on it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None)


def _commit() -> str | None:
    """Commit of the checkout, with `-dirty` if it was edited; None outside of git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def read(folder: Path) -> Config:
    """The config of the study in `folder`.

    Raises:
        ConfigError: there is no config, or it is from another version of derotate.
    """
    try:
        values = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{folder}: no {FILE}, expected the folder of a study that has run, e.g. results/demo "
            "after `make demo`"
        ) from None
    return load(values)


def paths(folder: Path, config: Config, run: Run | None = None) -> Paths:
    """The study's paths below `folder`, also if it was moved or renamed."""
    known = Paths.of(config, run)
    parts = (known.study, known.task, known.base, known.run)
    return Paths(*(str(folder / Path(part).relative_to(known.study)) for part in parts))

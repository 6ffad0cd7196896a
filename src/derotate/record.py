# SPDX-License-Identifier: MIT
"""The config that a study's results were made with, kept in its folder.

Written when a run starts, with what `--config` and further config files changed, and read by what
looks at a finished study. No rule reads it: it invalidates nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from derotate.config import Config, ConfigError, load
from derotate.study import Paths, Run

FILE = "config.yaml"


def write(config: Config, folder: Path | None = None) -> Path:
    """Keep the config of a study, all keys of it, in its folder (by default where it runs)."""
    folder = folder or Path(Paths.of(config).study)
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{FILE}"
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    aside.write_text(f"# All keys of the last run, recorded by it.\n{text}", encoding="utf-8")
    os.replace(aside, folder / FILE)
    return folder / FILE


def read(folder: Path) -> Config:
    """The config of the study in `folder`.

    Raises:
        ConfigError: there is none, or it is of another version of derotate.
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

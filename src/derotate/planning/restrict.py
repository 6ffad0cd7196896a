# SPDX-License-Identifier: MIT
"""The config that runs exactly the cells of a plan."""

from __future__ import annotations

from typing import Any

import yaml

from derotate.config.schema import Config, load
from derotate.planning.solve import Shape
from derotate.planning.units import core_segments, rl_unit
from derotate.study.arms import ARMS

_HEADER = """\
# The part of a study that a plan has chosen, by `derotate plan`; every key is given. It runs with
#     derotate run -- --profile local --cores 2 --configfile THIS_FILE
"""


def restricted(config: Config, shape: Shape, units: frozenset[str]) -> Config:
    """Reduce a config to its first base seeds, its first seeds and the given units.

    Raises:
        ConfigError: a unit that is needed is missing; this does not happen for a plan.
    """
    bases, seeds = shape
    values = config.model_dump(mode="json")
    values["also"] = []  # a plan is for one study
    values["base_seeds"] = values["base_seeds"][:bases]
    values["seeds"] = values["seeds"][:seeds]
    core = core_segments(config)
    values["sft"]["segments"] = [
        steps
        for place, steps in enumerate(values["sft"]["segments"])
        if place < core or f"sft-to-{steps[-1]}" in units
    ]
    for arm in ARMS:
        if arm not in units:
            values[arm]["steps"] = []
    if "phase" not in units:
        values["phase"] = {"base_steps": [], "learning_rates": [], "steps": []}
    if "diagnostics" not in units:
        values["diagnostics"]["prompts"] = 0
    values["rl"]["runs"] = list(_rl_runs(values["rl"]["runs"], units))
    surgery = values["surgery"]
    surgery["recipes"] = [each for each in surgery["recipes"] if f"surgery-{each['name']}" in units]
    surgery["reverse"] = [name for name in surgery["reverse"] if f"reverse-{name}" in units]
    return load(values)


def to_yaml(config: Config, remarks: str) -> str:
    """All keys of a config as YAML, so that the result does not depend on defaults.

    Args:
        config: the config.
        remarks: comment lines about the plan, without `#`.
    """
    values = config.model_dump(mode="json")
    values["surgery"]["recipes"] = [
        recipe.model_dump(mode="json", exclude_defaults=True) for recipe in config.surgery.recipes
    ]
    said = "".join(f"# {line}\n" for line in remarks.splitlines())
    body = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=100)
    return f"{_HEADER}{said}{body}"


def _rl_runs(runs: list[dict[str, Any]], units: frozenset[str]) -> list[dict[str, Any]]:
    """The RL runs with their chosen starts; runs without a chosen start are left out."""
    remaining = [
        run | {"starts": [start for start in run["starts"]
                          if rl_unit(run["algorithm"], start) in units]}
        for run in runs
    ]  # fmt: skip
    return [run for run in remaining if run["starts"]]

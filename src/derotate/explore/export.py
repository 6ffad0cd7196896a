# SPDX-License-Identifier: MIT
"""Export a pair from a finished study, and measure the error of the cast to bfloat16."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path

import pandas as pd
import torch
from transformers.utils import logging as transformers_logging

from derotate.analysis.select_rows import POOLED
from derotate.analysis.spectra import by_index
from derotate.config.matrix_kinds import DEFAULT_KINDS, matrix_kind
from derotate.config.schema import Config
from derotate.evaluation.evaluate import Decoding, evaluate, reference_losses, respond
from derotate.explore.pair import SUITES, TABLES, PairError
from derotate.files.tables import markdown, write
from derotate.models import checkpoint as checkpoints
from derotate.stages.evaluate import items
from derotate.stages.landmarks import max_ood
from derotate.stages.run_files import pair_of
from derotate.study import paths as study
from derotate.study import record

LEARNED_PROBLEMS = 200
"""ID problems in a pair; with all OOD test problems an evaluation takes seconds."""
ANGLES = ("left_principal_angle", "right_principal_angle")
ANGLES_TABLE = "spectra_by_index"
FRACTION = 0.2
"""Top fraction of singular vectors whose angles are exported: those that the page draws."""

_COLUMNS = ["problem", "split", "fold", "cluster", "correct", "kind", "loss"]
_LANDMARKS = {"max_ood": "donor", "sft_end": "patient", "rl_end": "rl"}


def run_of(folder: Path, base_seed: int | None = None, seed: int | None = None) -> study.Run:
    """The first run of a study with these seeds; None matches any seed.

    Raises:
        PairError: no such run.
        ConfigError: the folder is no study.
    """
    runs = study.runs(record.read(folder))
    for run in runs:
        if base_seed in (None, run.base_seed) and seed in (None, run.seed):
            return run
    raise PairError(
        f"{folder}: no run of base seed {base_seed} and seed {seed}, expected one of "
        + ", ".join(f"{run.base_seed} and {run.seed}" for run in runs)
    )


def export(folder: Path, out: Path, run: study.Run) -> pd.DataFrame:
    """Write the pair of one run of the study in `folder` to `out`.

    Returns:
        The error of the cast, the table of the pair's README.

    Raises:
        PairError: the run is not finished.
        ConfigError: the folder is no study.
    """
    config = record.read(folder)
    paths = record.paths(folder, config, run)
    torch.set_num_threads(config.evaluation.threads)
    transformers_logging.disable_progress_bar()
    try:
        labels = study.stage_labels(config, max_ood(Path(paths.run) / "landmarks.json"))
        _write_problems(Path(paths.task) / "data" / "problems.csv", out / "problems.csv")
        _write_tables(folder / "tables", out / "tables", run)
        pair = Path(paths.spectra(labels["max_ood"], labels["sft_end"]))
        _write_angles(pair, out / "tables")
        sides = {_LANDMARKS[name]: label for name, label in labels.items() if name in _LANDMARKS}
        errors = _cast(paths, sides, config, out)
    except FileNotFoundError as error:
        raise PairError(
            f"{error.filename}: missing, expected a finished study; resume it with the same command"
        ) from None
    record.write(config, out)
    _write_readme(out, config, run, sides, errors)
    return errors


def cast_error(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> float:
    """Largest ||W - W'|| / ||W|| of all tensors, where W' is W after the cast."""
    return max(_norm(tensor, after[name]) / float(tensor.double().norm())
               for name, tensor in before.items())  # fmt: skip


def _cast(paths: study.Paths, sides: Mapping[str, str], config: Config, out: Path) -> pd.DataFrame:
    """Save each checkpoint in bfloat16, evaluate it, and compare with the study's results."""
    known = items(config.task, config.style, out / "problems.csv")
    limits = Decoding(config.evaluation.max_new_tokens, config.evaluation.batch_size)
    states = {
        role: checkpoints.load_state(Path(paths.checkpoint(label))) for role, label in sides.items()
    }
    distance = _distance(states["donor"], states["patient"])
    records, evaluations = [], []
    for role, label in sides.items():
        model, tokenizer = checkpoints.load(Path(paths.checkpoint(label)))
        checkpoints.save(model.to(torch.bfloat16), tokenizer, out / role)
        model, tokenizer = checkpoints.load(out / role, dtype=torch.float32)
        cast = {name: tensor.float() for name, tensor in
                checkpoints.load_state(out / role).items()}  # fmt: skip
        losses = reference_losses(model, tokenizer, known)
        rows = evaluate(partial(respond, model, tokenizer), known, losses, greedy=limits)
        evaluations.append(rows[_COLUMNS].assign(checkpoint=role))
        own = pd.read_parquet(paths.evaluation(label))
        own = own[(own["decoding"] == "greedy") & (own["attempt"] == 0)]
        both = rows.merge(own, on=["problem", "split", "fold"], suffixes=("", "_before"))
        for split, fold in SUITES:
            suite = both[(both["split"] == split) & (both["fold"] == fold)]
            accuracies = 100 * suite["correct_before"].mean(), 100 * suite["correct"].mean()
            records.append(
                {
                    "checkpoint": role,
                    "suite": f"{split} {fold}",
                    "n": len(suite),
                    "float32 (%)": accuracies[0],
                    "bfloat16 (%)": accuracies[1],
                    "change (points)": accuracies[1] - accuracies[0],
                    "changed verdicts": int((suite["correct"] != suite["correct_before"]).sum()),
                    "largest relative error": cast_error(states[role], cast),
                    "error / donor distance": _distance(states[role], cast) / distance,
                }
            )
    write(pd.concat(evaluations)[["checkpoint", *_COLUMNS]], out / "evaluations.csv")
    return pd.DataFrame(records)


def _write_problems(source: Path, out: Path) -> None:
    """All OOD test problems, and the ID problems whose names have the smallest hashes."""
    problems = pd.read_csv(source, dtype=str, keep_default_na=False)
    parts = []
    for split, fold in SUITES:
        own = problems[(problems["split"] == split) & (problems["fold"] == fold)]
        order = own["name"].map(lambda name: sha256(name.encode()).hexdigest()).sort_values()
        selected = order.index[: LEARNED_PROBLEMS if split == "id" else None]
        parts.append(own.loc[sorted(selected)])
    write(pd.concat(parts), out)


def _write_tables(source: Path, out: Path, run: study.Run) -> None:
    """The study's tables for one run, labelled as pooled over seeds, since figures draw those.

    Pooling a single seed changes nothing.
    """
    for name in (name for name in TABLES if name != ANGLES_TABLE):
        table = pd.read_csv(source / f"{name}.csv", dtype={"seed": str})
        own = table[(table["base_seed"] == run.base_seed) & (table["seed"] == str(run.seed))]
        if name != "landmarks":
            own = own.assign(seed=POOLED)
        if own.empty and len(table):  # without surgery that table is empty
            raise PairError(
                f"{source / name}.csv: no row of base seed {run.base_seed}, seed {run.seed}, "
                "expected a finished study; resume it with the same command"
            )
        write(own, out / f"{name}.csv")


def _write_angles(spectra: Path, out: Path) -> None:
    """Principal angles of donor and patient by index, of this run only."""
    table = by_index(pair_of(spectra))
    drawn = table["metric"].isin(ANGLES) & ((table["fraction"] - FRACTION).abs() < 1e-9)
    write(table[drawn], out / f"{ANGLES_TABLE}.csv")


def _write_readme(
    out: Path, config: Config, run: study.Run, sides: Mapping[str, str], errors: pd.DataFrame
) -> None:
    roles = ", ".join(f"`{role}/` is `{label}`" for role, label in sides.items())
    markdown(errors, out / "README.md", digits=2)
    table = (out / "README.md").read_text(encoding="utf-8")
    text = f"""# A trained pair

Exported by `derotate explore-export` from the study `{config.study}` (task `{config.task}`), base
seed {run.base_seed}, seed {run.seed}:
{roles}.
The study trained all of them from random weights in float32; the export casts them to bfloat16.
`config.yaml` holds every setting. `derotate explore` loads them in float32 and applies a recipe.
`evaluations.csv` holds their greedy results after the cast. `tables/` holds the study's tables for
this run only, labelled as pooled over seeds.

## Error of the cast

The study's float32 results and those of the files here, on the problems of `problems.csv`. The
relative error is the largest ||W - W'|| / ||W|| of all tensors. The last column is ||W - W'|| over
the matrices that surgery edits, divided by the distance of donor and patient.

{table}"""
    (out / "README.md").write_text(text, encoding="utf-8", newline="\n")


def _distance(state: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Frobenius norm ||W - W'|| over the matrices that recipes edit by default."""
    kinds = {name: matrix_kind(name) for name in state}
    names = [name for name, kind in kinds.items() if kind and kind[1] in DEFAULT_KINDS]
    return sum(_norm(state[name], other[name]) ** 2 for name in names) ** 0.5


def _norm(tensor: torch.Tensor, other: torch.Tensor) -> float:
    return float((tensor.double() - other.double()).norm())

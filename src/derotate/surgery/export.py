# SPDX-License-Identifier: MIT
"""Write an edit as a checkpoint, or as a LoRA adapter that holds exactly the same change.

The output appears complete or not at all. The loss of the cast to the stored dtype is measured:
bfloat16 has eight significant bits, and a small edit may not survive it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.files.atomic import atomic_write
from derotate.files.scratch import scratch
from derotate.models.checkpoint import CheckpointError
from derotate.models.pair import open_pair
from derotate.models.shard_writer import (
    Entry,
    Slot,
    as_tensor,
    copy_bytes,
    file_size,
    preallocate,
    require_room,
)
from derotate.models.shards import INDEX, PICKLED
from derotate.spectral.decompose import block_of
from derotate.spectral.factor_sources import cached
from derotate.surgery.apply import (
    Edit,
    MatrixReport,
    Surgery,
    guarded_edits,
    matched_amount,
    require_near,
)
from derotate.surgery.edits import Change, edited_blocks
from derotate.surgery.lora import adapter_ranks, write_adapter

if TYPE_CHECKING:
    from derotate.config.surgery import Guards

Format = Literal["checkpoint", "lora"]

RECORD = "derotate-edit.json"
"""File beside the weights with recipe, donor, patient and the per-matrix edit report."""

BESIDE = ("*.json", "*.model", "*.txt", "*.jinja", "LICENSE*")
"""Files copied with the weights: config, tokenizer, templates; no code and no other weights."""


@dataclass(frozen=True)
class Options:
    """How an edit is computed and written.

    Attributes:
        form: a checkpoint, or a LoRA adapter for the patient.
        cache: folder that keeps the factors; None: those of one matrix at a time.
        precision: dtype of the factors.
    """

    form: Format = "checkpoint"
    cache: Path | None = None
    precision: torch.dtype = torch.float32


DEFAULTS = Options()


@dataclass(frozen=True)
class SurgeryReport:
    """Per-matrix edit reports of a surgery, and the amount of a matched interpolation."""

    rows: tuple[MatrixReport, ...]
    amount: float | None

    @property
    def edit_norm(self) -> float:
        """Frobenius norm of the edit over all matrices."""
        return math.hypot(*(row.edit_norm for row in self.rows))

    @property
    def cast_error(self) -> float:
        """Norm of what the cast to the stored dtype changed, relative to the norm of the edit."""
        lost = (row.edit_norm * row.cast_error for row in self.rows if row.edit_norm)
        return math.hypot(*lost) / self.edit_norm if self.edit_norm else float("nan")


def operate(
    donor: Path,
    patient: Path,
    recipe: Recipe,
    out: Path,
    guards: Guards,
    *,
    matched: Recipe | None = None,
    options: Options = DEFAULTS,
) -> SurgeryReport:
    """Edit the patient by a recipe and write the result to a new directory.

    Args:
        donor: directory of a checkpoint.
        patient: directory of a checkpoint of the same model.
        recipe: the edit.
        out: must not exist, or be empty.
        guards: thresholds, and whether a failed guard refuses or warns.
        matched: the recipe whose norm an interpolation is to have.
        options: form of the output, and how factors are computed.

    Raises:
        CheckpointError, GuardError, NotLowRankError: one line; nothing is written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out}: exists, expected a new directory; name another one")
    pair = open_pair(donor, patient)
    with scratch(out) as folder:
        sources = cached(options.cache, folder / "factors", options.precision)
        surgery = Surgery.resolve(pair, recipe, sources)
        near = require_near(surgery, guards)
        lora = options.form == "lora"
        ranks = adapter_ranks(recipe, pair, surgery.names) if lora else {}
        amount = None if matched is None else matched_amount(surgery, matched, guards)
        edits = guarded_edits(surgery, guards, near, amount)
        # Refusals come until the last matrix is decomposed; the output must not exist then.
        with atomic_write(out) as part:
            part.mkdir()
            if lora:
                rows = write_adapter(pair, edits, ranks, part)
            else:
                rows = _write_checkpoint(surgery, edits, part)
            report = SurgeryReport(tuple(rows), amount)
            record = _record(surgery, options, report)
            (part / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return report


def _write_checkpoint(surgery: Surgery, edits: Iterator[Edit], out: Path) -> list[MatrixReport]:
    """The patient's shards under their own names, edited, with its config and tokenizer."""
    patient = surgery.pair.patient
    places = patient.places
    entries: dict[Path, dict[str, Entry]] = {file: {} for file in patient.files}
    for name, place in places.items():
        entries[place.file][name] = Entry(place.dtype, place.shape, place.size)
    require_room(out, sum(map(file_size, entries.values())))
    slots: dict[str, Slot] = {}
    for file, tensors in entries.items():
        slots |= preallocate(out / file.name, tensors)

    def write(edit: Edit) -> MatrixReport:
        target = as_tensor(slots.pop(edit.name).data(), edit.weight.dtype, places[edit.name].shape)
        norm, cast_error = _apply(edit.change, edit.weight, target)
        if math.isinf(cast_error):
            raise CheckpointError(
                f"{patient.directory}: tensor {edit.name} edited by {surgery.recipe.name} is too "
                f"large for {places[edit.name].dtype}; convert the patient to float32 first"
            )
        return edit.report(None, norm, cast_error)

    # A loop variable would keep an edit in memory while the next one is made; `map` does not.
    rows = list(map(write, edits))
    for name, slot in slots.items():
        copy_bytes(slot.data(), patient[name])
    _copy_beside(patient.directory, out)
    return rows


def _apply(change: Change, weight: Tensor, target: Tensor) -> tuple[float, float]:
    """Write W + delta block by block; returns ||delta||_F and the relative loss of the cast."""
    square = lost = 0.0
    for rows, delta, edited in edited_blocks(change, weight):
        stored = edited.to(weight.dtype)
        # The file is full of zeros already: a sparse file stays sparse.
        if bool(stored.any()):
            block_of(target, rows).copy_(stored)
        square += float(delta.to(torch.float64).square().sum())
        lost += float((stored.to(torch.float64) - edited.to(torch.float64)).square().sum())
    return math.sqrt(square), math.sqrt(lost / square) if square else float("nan")


def _copy_beside(directory: Path, out: Path) -> None:
    for pattern in BESIDE:
        for file in sorted(directory.glob(pattern)):
            # The index of weights that are not copied, as pytorch_model.bin.index.json.
            other_index = file.name.endswith(".index.json") and file.name != INDEX
            if file.is_file() and file.suffix not in PICKLED and not other_index:
                shutil.copyfile(file, out / file.name)


def _record(surgery: Surgery, options: Options, report: SurgeryReport) -> dict[str, Any]:
    """The content of `RECORD`; unknown numbers are null."""

    def number(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else float(f"{value:.6g}")

    def fields(row: MatrixReport) -> dict[str, Any]:
        return {
            key: number(value) if isinstance(value, float) else value
            for key, value in vars(row).items()
        }

    return {
        "recipe": surgery.recipe.model_dump(mode="json", exclude_defaults=True),
        "donor": str(surgery.pair.donor.directory),
        "patient": str(surgery.pair.patient.directory),
        "format": options.form,
        "factors": str(options.precision).removeprefix("torch."),
        "amount": number(report.amount),
        "edit_norm": number(report.edit_norm),
        "cast_error": number(report.cast_error),
        "matrices": [fields(row) for row in report.rows],
    }

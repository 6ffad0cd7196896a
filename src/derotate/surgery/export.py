# SPDX-License-Identifier: MIT
"""An edit written as a checkpoint, or as a LoRA adapter that holds exactly the same change.

All is written aside and moved into place; a refusal leaves nothing. What the cast to the stored
type loses of an edit is measured: bfloat16 keeps eight bits, and a small edit may not survive it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from derotate.config.recipes import Recipe
from derotate.files.scratch import scratch
from derotate.models.checkpoint import CheckpointError
from derotate.models.pair import Operands, open_pair
from derotate.models.shard_writer import (
    Entry,
    Slot,
    as_tensor,
    copy_bytes,
    file_size,
    lay_out,
    require_room,
)
from derotate.models.shards import INDEX, PICKLED
from derotate.spectral.decompose import part_of
from derotate.spectral.factor_sources import cached
from derotate.surgery.apply import Edit, edits, matched_amount, require_near
from derotate.surgery.edit_report import Row, row_of
from derotate.surgery.edits import Change, edited_blocks
from derotate.surgery.lora import adapter_ranks, write_adapter

if TYPE_CHECKING:
    from derotate.config.surgery import Guards

Format = Literal["checkpoint", "lora"]

RECORD = "derotate-edit.json"
"""What was done, beside the weights: recipe, donor, patient, and the numbers of each matrix."""

BESIDE = ("*.json", "*.model", "*.txt", "*.jinja", "LICENSE*")
"""Files that go with the weights: config, tokenizer, templates; no code and no other weights."""


@dataclass(frozen=True)
class Operated:
    """What `operate` did: a row a matrix, and the amount of a matched interpolation."""

    rows: tuple[Row, ...]
    amount: float | None

    @property
    def edit_norm(self) -> float:
        """Frobenius norm of the whole edit."""
        return math.hypot(*(row.edit_norm for row in self.rows))

    @property
    def cast_error(self) -> float:
        """What the cast to the stored type changed, as a share of the whole edit."""
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
    form: Format = "checkpoint",
    cache: Path | None = None,
    precision: torch.dtype = torch.float32,
) -> Operated:
    """Edit the patient by a recipe and write it to a new directory.

    Args:
        donor: directory of a checkpoint.
        patient: of the same model.
        recipe: what to do.
        out: must not exist, or be empty.
        guards: thresholds, and whether a failed guard refuses or not.
        matched: the recipe whose norm an interpolation is to have.
        form: a checkpoint, or an adapter for the patient.
        cache: folder that keeps the factors; by default those of one matrix at a time.
        precision: of the factors.

    Raises:
        CheckpointError, GuardError, NotLowRankError: one line; nothing is written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out}: exists, expected a new directory; name another one")
    pair = open_pair(donor, patient)
    near = require_near(recipe, pair, guards)
    ranks = adapter_ranks(recipe, pair, list(near)) if form == "lora" else {}
    with scratch(out) as aside:
        made = aside / "made"
        made.mkdir()
        sources = cached(cache, aside / "factors", precision)
        amount = None
        if matched is not None:
            amount = matched_amount(recipe, matched, pair, guards, sources)
        changed = edits(recipe, pair, guards, sources, near, amount)
        if form == "lora":
            rows = write_adapter(pair, changed, ranks, made)
        else:
            rows = _write_checkpoint(recipe, pair, changed, made)
        done = Operated(tuple(rows), amount)
        record = _record(recipe, pair, form, precision, done)
        (made / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(made, out)
    return done


def _write_checkpoint(
    recipe: Recipe, pair: Operands, changed: Iterator[Edit], made: Path
) -> list[Row]:
    """The patient's shards under their own names, edited; config and tokenizer beside them."""
    places = pair.patient.places
    entries: dict[Path, dict[str, Entry]] = {file: {} for file in pair.patient.files}
    for name, place in places.items():
        entries[place.file][name] = Entry(place.dtype, place.shape, place.size)
    require_room(made, sum(map(file_size, entries.values())))
    slots: dict[str, Slot] = {}
    for file, held in entries.items():
        slots |= lay_out(made / file.name, held)

    def written(edit: Edit) -> Row:
        target = as_tensor(slots.pop(edit.name).data(), edit.weight.dtype, places[edit.name].shape)
        norm, cast_error = _apply(edit.change, edit.weight, target)
        if math.isinf(cast_error):
            raise CheckpointError(
                f"{pair.patient.directory}: tensor {edit.name} edited by {recipe.name} is too "
                f"large for {places[edit.name].dtype}; convert the patient to float32 first"
            )
        return row_of(edit, None, norm, cast_error)

    # `map` holds no edit while the next one is made
    rows = list(map(written, changed))
    for name, slot in slots.items():
        copy_bytes(slot.data(), pair.patient[name])
    _copy_beside(pair, made)
    return rows


def _apply(change: Change, weight: Tensor, target: Tensor) -> tuple[float, float]:
    """Write W + delta block by block; the norm of delta and what the cast lost of it."""
    square = lost = 0.0
    for rows, step, new in edited_blocks(change, weight):
        stored = new.to(weight.dtype)
        if bool(stored.any()):
            part_of(target, rows).copy_(stored)
        square += float(step.to(torch.float64).square().sum())
        lost += float((stored.to(torch.float64) - new.to(torch.float64)).square().sum())
    return math.sqrt(square), math.sqrt(lost / square) if square else float("nan")


def _copy_beside(pair: Operands, made: Path) -> None:
    for pattern in BESIDE:
        for file in sorted(pair.patient.directory.glob(pattern)):
            other_index = file.name.endswith(".index.json") and file.name != INDEX
            if file.is_file() and file.suffix not in PICKLED and not other_index:
                shutil.copyfile(file, made / file.name)


def _record(
    recipe: Recipe, pair: Operands, form: Format, precision: torch.dtype, done: Operated
) -> dict[str, Any]:
    """The facts of an edit; numbers that are not known are null."""

    def number(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else float(f"{value:.6g}")

    def known(row: Row) -> dict[str, Any]:
        fields = vars(row).items()
        return {key: number(value) if isinstance(value, float) else value for key, value in fields}

    return {
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "donor": str(pair.donor.directory),
        "patient": str(pair.patient.directory),
        "format": form,
        "factors": str(precision).removeprefix("torch."),
        "amount": number(done.amount),
        "edit_norm": number(done.edit_norm),
        "cast_error": number(done.cast_error),
        "matrices": [known(row) for row in done.rows],
    }

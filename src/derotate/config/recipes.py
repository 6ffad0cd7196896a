# SPDX-License-Identifier: MIT
"""Recipes of surgery: which singular values or vectors of a donor replace which of a patient's.

Without torch, so that the config and Snakemake's planning read recipes quickly. The algebra is in
`derotate.surgery.edits`.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

from derotate.config.matrix_kinds import DEFAULT_KINDS, EDITABLE, matrix_kind

__all__ = [
    "DEFAULT_KINDS",
    "EDITABLE",
    "Band",
    "Part",
    "Recipe",
    "check_recipes",
    "matrix_kind",
]

Part = Literal[
    "values",
    "directions",
    "both",
    "aligned",
    "rollback",
    "interpolate",
    "low_rank",
    "random_rotation",
    "random_norm",
]

CONTROLS: frozenset[str] = frozenset({"rollback", "interpolate", "random_rotation", "random_norm"})
"""Parts that serve as controls of an edit of singular values or vectors."""

WEIGHT_PARTS: frozenset[str] = frozenset({"rollback", "interpolate", "low_rank"})
"""Parts computed from the weights alone; all others need the factors of donor and patient."""

_OPTIONS: dict[str, frozenset[str]] = {
    "values": frozenset({"band", "pairing"}),
    "directions": frozenset({"band", "pairing"}),
    "both": frozenset({"band", "pairing"}),
    "aligned": frozenset({"band", "pairing"}),
    "rollback": frozenset(),
    "interpolate": frozenset({"amount", "match"}),
    "low_rank": frozenset({"rank"}),
    "random_rotation": frozenset({"band", "seed"}),
    "random_norm": frozenset({"band", "seed"}),
}
"""Optional keys that each part reads. Any other key would be ignored silently, so it is refused."""

_UNUSED: dict[str, object] = {
    "band": None,
    "amount": None,
    "match": None,
    "rank": None,
    "pairing": "index",
    "seed": 0,
}

_MATCH = re.compile(r"(norm|id_loss):(.+)")

Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Count = Annotated[StrictInt, Field(ge=0)]


class Band(BaseModel):
    """A contiguous range of singular values, counted from the largest (index 0)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: Literal["top", "bottom", "middle"] = Field(
        default="top", description="Which end of the descending singular values, or the middle."
    )
    fraction: Fraction | None = Field(
        default=None, description="Share of the rank, 0 to 1; give this or count."
    )
    count: Count | None = Field(
        default=None, description="Number of singular values; give this or fraction."
    )

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.fraction is None) == (self.count is None):
            raise ValueError(
                f"band: fraction = {self.fraction}, count = {self.count}; "
                "expected exactly one of the two"
            )
        return self

    def size(self, rank: int) -> int:
        """Number of singular values in the band: round(fraction * rank), or count.

        Raises:
            ValueError: count exceeds the rank. The published scripts clip it, which turns the edit
                of narrow matrices (k and v under grouped-query attention) into a rollback
                (a fault of the code released with arXiv 2509.12235).
        """
        if self.fraction is not None:
            return round(self.fraction * rank)
        assert self.count is not None
        if self.count > rank:
            raise ValueError(
                f"band: count = {self.count}, expected at most the matrix's rank {rank}; "
                "give a fraction, or name only wider matrices"
            )
        return self.count

    def indices(self, rank: int) -> range:
        """The indices of the band among `rank` descending singular values."""
        size = self.size(rank)
        start = {"top": 0, "bottom": rank - size, "middle": (rank - size) // 2}[self.where]
        return range(start, start + size)


class Recipe(BaseModel):
    """One surgery variant; `derotate.surgery.edits.streamed_change` defines each `part`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]*$",
        description="Names the variant in paths and tables: lower case, digits, '_', '-', '.'.",
    )
    part: Part = Field(description="What is replaced by the donor's, or which control is made.")
    band: Band | None = Field(
        default=None, description="Singular values or vectors edited; spectral parts only."
    )
    layers: tuple[Annotated[StrictInt, Field(ge=0)], ...] | None = Field(
        default=None, description="Layers edited, counted from 0; null for all."
    )
    matrices: tuple[str, ...] | None = Field(
        default=None,
        description="Kinds of matrices edited; null for q, k, v, o, gate, up, down.",
    )
    donor: Literal["landmark", "base"] = Field(
        default="landmark", description="base is the wrong donor, a control."
    )
    amount: Fraction | None = Field(
        default=None, description="interpolate: weight of the donor, 0 to 1; give this or match."
    )
    match: str | None = Field(
        default=None,
        description="interpolate: 'norm:<recipe>' or 'id_loss:<recipe>'; the interpolation gets "
        "the edit norm or the in-distribution loss of that recipe.",
    )
    rank: Annotated[StrictInt, Field(ge=1)] | None = Field(
        default=None, description="low_rank: rank of the part of the change that is undone."
    )
    pairing: Literal["index", "similarity"] = Field(
        default="index",
        description="Donor and patient vectors are paired by index (as published) or by overlap.",
    )
    seed: StrictInt = Field(default=0, description="random_*: seed of the random axes.")

    @field_validator("layers")
    @classmethod
    def _layers_named_once(cls, layers: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if layers is not None and (not layers or len(set(layers)) < len(layers)):
            raise ValueError(f"layers = {list(layers)}, expected one or more different layers")
        return layers

    @field_validator("matrices")
    @classmethod
    def _matrices_known(cls, matrices: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if matrices is None:
            return None
        if not matrices or len(set(matrices)) < len(matrices) or set(matrices) - set(EDITABLE):
            raise ValueError(
                f"matrices = {list(matrices)}, expected different ones of {', '.join(EDITABLE)}"
            )
        return matrices

    @model_validator(mode="after")
    def _options_fit_part(self) -> Self:
        used = _OPTIONS[self.part]
        for key, unused in _UNUSED.items():
            if key not in used and getattr(self, key) != unused:
                raise ValueError(
                    f"recipe {self.name}: {key} = {getattr(self, key)!s} has no meaning for "
                    f"part = {self.part}; leave it out"
                )
        for key in ("band", "rank"):
            if key in used and getattr(self, key) is None:
                raise ValueError(f"recipe {self.name}: part = {self.part} needs {key}")
        if self.part == "interpolate" and (self.amount is None) == (self.match is None):
            raise ValueError(
                f"recipe {self.name}: amount = {self.amount}, match = {self.match}; "
                "expected exactly one of the two"
            )
        if self.match is not None and _MATCH.fullmatch(self.match) is None:
            raise ValueError(
                f"recipe {self.name}: match = {self.match}, "
                "expected norm:<recipe> or id_loss:<recipe>"
            )
        if self.part == "random_rotation" and self.band is not None and self.band.fraction == 1:
            raise ValueError(
                f"recipe {self.name}: band.fraction = 1, expected less: the whole space has no "
                "principal angles to copy; use part = random_norm"
            )
        return self

    @property
    def control(self) -> bool:
        """Whether the recipe is a control of surgery."""
        return self.part in CONTROLS or self.donor == "base"

    @property
    def needs_factors(self) -> bool:
        """Whether the edit needs the SVD of donor and patient, not the weights alone."""
        return self.part not in WEIGHT_PARTS

    @property
    def reference(self) -> tuple[str, str] | None:
        """The matched quantity and the recipe it comes from, e.g. ("norm", "directions-top20")."""
        match = _MATCH.fullmatch(self.match or "")
        return (match[1], match[2]) if match else None

    def edits(self, tensor_name: str) -> bool:
        """Whether the recipe edits this tensor of a checkpoint.

        `layers` restricts the matrices of layers; embedding and head have none and are edited if
        and only if `matrices` names them.
        """
        layer_and_kind = matrix_kind(tensor_name)
        if layer_and_kind is None:
            return False
        layer, kind = layer_and_kind
        in_layers = self.layers is None or layer is None or layer in self.layers
        return in_layers and kind in (self.matrices or DEFAULT_KINDS)


def check_recipes(recipes: Sequence[Recipe]) -> None:
    """Check recipes against each other.

    Raises:
        ValueError: a name is used twice, or `match` names a recipe that does not exist or is
            itself matched to another.
    """
    by_name = {recipe.name: recipe for recipe in recipes}
    if len(by_name) < len(recipes):
        names = [recipe.name for recipe in recipes]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"recipes: name = {', '.join(twice)} is used twice, expected unique names")
    for recipe in recipes:
        if recipe.reference is None:
            continue
        target = by_name.get(recipe.reference[1])
        if target is None or target.reference is not None:
            raise ValueError(
                f"recipe {recipe.name}: match = {recipe.match}, expected the name of a recipe of "
                "this study that is not matched itself"
            )

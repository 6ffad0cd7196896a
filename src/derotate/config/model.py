# SPDX-License-Identifier: MIT
"""The model of a study: a tiny one that it trains, or one that others have trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from derotate.config.block import Block, Count


class TinyModel(Block):
    """A Llama trained in the DAG from random weights."""

    hidden_size: Count = Field(128, description="width of the residual stream")
    intermediate_size: Count = Field(352, description="width of the MLP")
    layers: Count = Field(4, description="number of decoder layers")
    heads: Count = Field(4, description="attention heads (no grouped keys)")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> TinyModel:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"heads: {self.heads} heads need a hidden_size that is a multiple of "
                f"{2 * self.heads}, got {self.hidden_size}; change one of the two"
            )
        return self


class PretrainedModel(Block):
    """Or a model that others have trained: all jobs start from its weights, none trains a base."""

    pretrained: str = Field(
        description="its name on the Hugging Face hub, or a folder that begins with /, ./, ../ or ~"
    )
    revision: str | None = Field(
        None, description="commit on the hub, 40 hex digits; a folder has none"
    )
    dtype: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="of the weights, stored and loaded"
    )
    parameters: Count | None = Field(
        None,
        description="their number, for what jobs ask of the machine; this key and the next two are "
        "read from the folder or the hub's cache where the model is there already",
    )
    layers: Count | None = Field(None, description="number of decoder layers")
    width: Count | None = Field(None, description="of the residual stream")

    @model_validator(mode="after")
    def _can_be_found_again(self) -> PretrainedModel:
        if self.is_folder:
            if self.revision is not None:
                raise ValueError(
                    f"revision: got {self.revision} with the folder {self.pretrained}, expected "
                    "none; remove it, only a name on the hub has revisions"
                )
        elif not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", self.pretrained, re.ASCII):
            raise ValueError(
                f"pretrained: got {self.pretrained!r}, expected owner/name as on the Hugging Face "
                "hub, or a folder that begins with /, ./, ../ or ~; correct it"
            )
        elif not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError(
                f"revision: got {self.revision or 'none'} for {self.pretrained}, expected the 40 "
                "hex digits of a commit, since branches move; copy one from the model's history"
            )
        sizes = {name: getattr(self, name) for name in ("parameters", "layers", "width")}
        unknown = [name for name, value in sizes.items() if value is None]
        if 0 < len(unknown) < len(sizes):
            raise ValueError(
                f"{unknown[0]}: got none beside other sizes, expected {', '.join(sizes)} together; "
                "give all of them, or none"
            )
        return self

    @property
    def is_folder(self) -> bool:
        """Whether it lies on this machine; else it is a name on the hub."""
        return self.pretrained.startswith(("/", "./", "../", "~"))


TINY_FORM: Final = "tiny-form"
PRETRAINED_FORM: Final = "pretrained-form"


def _form(values: Any) -> str:
    """Which of the forms of `model` is meant: the key `pretrained` tells."""
    named = isinstance(values, PretrainedModel) or (
        isinstance(values, Mapping) and "pretrained" in values
    )
    return PRETRAINED_FORM if named else TINY_FORM


Model = Annotated[
    Annotated[TinyModel, Tag(TINY_FORM)] | Annotated[PretrainedModel, Tag(PRETRAINED_FORM)],
    Discriminator(_form),
]

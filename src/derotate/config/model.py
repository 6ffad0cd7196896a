# SPDX-License-Identifier: MIT
"""The model of a study: a tiny one that it pretrains, or a pretrained checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from derotate.config.block import Block, Count


class TinyModel(Block):
    """A small Llama, pretrained in the workflow from random weights."""

    hidden_size: Count = Field(128, description="width of the residual stream")
    intermediate_size: Count = Field(352, description="width of the MLP")
    layers: Count = Field(4, description="number of decoder layers")
    heads: Count = Field(4, description="attention heads (no grouped-query attention)")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> TinyModel:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"heads: got {self.heads} with hidden_size {self.hidden_size}, expected a "
                f"multiple of 2 x heads = {2 * self.heads} as hidden_size; change one of the two"
            )
        return self


class PretrainedModel(Block):
    """A pretrained model, from the Hugging Face hub or a folder; no base is pretrained."""

    pretrained: str = Field(
        description="name on the Hugging Face hub, or a folder that begins with /, ./, ../ or ~"
    )
    revision: str | None = Field(
        None, description="commit on the hub, 40 hex digits; null for a folder"
    )
    dtype: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="dtype of the weights, stored and loaded"
    )
    parameters: Count | None = Field(
        None,
        description="number of parameters, for resource requests; this key and the next two are "
        "read from the folder or the hub's cache if the model is there already",
    )
    layers: Count | None = Field(None, description="number of decoder layers")
    width: Count | None = Field(None, description="width of the residual stream")

    @model_validator(mode="after")
    def _is_reproducible(self) -> PretrainedModel:
        if self.is_folder:
            if self.revision is not None:
                raise ValueError(
                    f"revision: got {self.revision} with the folder {self.pretrained}, expected "
                    "null; remove it, since only models on the hub have revisions"
                )
        elif not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", self.pretrained, re.ASCII):
            raise ValueError(
                f"pretrained: got {self.pretrained!r}, expected owner/name as on the Hugging Face "
                "hub, or a folder that begins with /, ./, ../ or ~; correct the name"
            )
        elif not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError(
                f"revision: got {self.revision or 'null'} for {self.pretrained}, expected a commit "
                "of 40 hex digits, since branches move; copy one from the model's history"
            )
        sizes = {name: getattr(self, name) for name in ("parameters", "layers", "width")}
        unknown = [name for name, value in sizes.items() if value is None]
        if 0 < len(unknown) < len(sizes):
            raise ValueError(
                f"{unknown[0]}: got null, expected {', '.join(sizes)} together; set all three or "
                "none"
            )
        return self

    @property
    def is_folder(self) -> bool:
        """Whether `pretrained` is a folder on this machine and not a name on the hub."""
        return self.pretrained.startswith(("/", "./", "../", "~"))


TINY_FORM: Final = "tiny-form"
PRETRAINED_FORM: Final = "pretrained-form"


def _form(values: Any) -> str:
    """The form of `model`, by whether it has the key `pretrained`."""
    named = isinstance(values, PretrainedModel) or (
        isinstance(values, Mapping) and "pretrained" in values
    )
    return PRETRAINED_FORM if named else TINY_FORM


Model = Annotated[
    Annotated[TinyModel, Tag(TINY_FORM)] | Annotated[PretrainedModel, Tag(PRETRAINED_FORM)],
    Discriminator(_form),
]

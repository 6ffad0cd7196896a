# SPDX-License-Identifier: MIT
"""Config blocks of surgery, diagnostics, and the guards on checkpoints before either."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from derotate.config.block import Block, Count, Share
from derotate.config.recipes import Band, Recipe

LEAST_PROMPTS: Final = 3


def _top(fraction: float) -> Band:
    return Band(fraction=fraction)


DEFAULT_RECIPES = (
    Recipe(name="values-top20", part="values", band=_top(0.2)),
    Recipe(name="values-all", part="values", band=_top(1.0)),
    Recipe(name="directions-top5", part="directions", band=_top(0.05)),
    Recipe(name="directions-top20", part="directions", band=_top(0.2)),
    Recipe(name="directions-all", part="directions", band=_top(1.0)),
    Recipe(
        name="directions-top20-matched", part="directions", band=_top(0.2), pairing="similarity"
    ),
    Recipe(name="directions-top20-first-half", part="directions", band=_top(0.2), layers=(0, 1)),
    Recipe(name="both-top20", part="both", band=_top(0.2)),
    Recipe(name="aligned-top20", part="aligned", band=_top(0.2)),
    Recipe(name="low-rank-16", part="low_rank", rank=16),
    Recipe(name="rollback", part="rollback"),
    Recipe(name="interpolate-equal-norm", part="interpolate", match="norm:directions-top20"),
    Recipe(name="interpolate-equal-loss", part="interpolate", match="id_loss:directions-top20"),
    Recipe(name="random-rotation-top20", part="random_rotation", band=_top(0.2)),
    Recipe(name="random-norm-top20", part="random_norm", band=_top(0.2)),
    Recipe(name="wrong-donor-top20", part="directions", band=_top(0.2), donor="base"),
)


class Surgery(Block):
    """Edits of the patient (`sft_end`) with singular values or vectors of the donor (`max_ood`)."""

    recipes: tuple[Recipe, ...] = Field(
        DEFAULT_RECIPES, description="forward: from max_ood into sft_end"
    )
    reverse: tuple[str, ...] = Field(
        ("directions-top20",), description="names of recipes also run from sft_end into rl_end"
    )
    precision: Literal["float32", "float64"] = Field(
        "float32",
        description="dtype of the cached decompositions; they are computed in float64",
    )
    threads: Count = Field(1, description="torch threads")


class Diagnostics(Block):
    """Hidden states and changes of weights at the landmarks; disabled in a study without RL."""

    prompts: Annotated[int, Field(ge=0)] = Field(
        0,
        description="prompts per suite of the test fold whose hidden states are compared "
        "(0: no diagnostics, neither of states nor of weights; else at least 3)",
    )
    threads: Count = Field(1, description="torch threads")

    @model_validator(mode="after")
    def _enough_to_leave_one_out(self) -> Diagnostics:
        if 0 < self.prompts < LEAST_PROMPTS:
            raise ValueError(
                f"prompts: got {self.prompts}, expected 0 or at least {LEAST_PROMPTS}, since the "
                "jackknife leaves out each prompt in turn; raise it"
            )
        return self


class Guards(Block):
    """Checks of a checkpoint before its spectrum is used."""

    marchenko_pastur_distance: Share = Field(
        0.1,
        description="smallest median over matrices of the Kolmogorov distance of a spectrum to "
        "the Marchenko-Pastur law of random matrices",
    )
    relative_change: Annotated[float, Field(gt=0)] = Field(
        0.5, description="largest ||W - W_base||_F / ||W_base||_F of a matrix"
    )
    recorded_loss: Annotated[float, Field(gt=0)] = Field(
        1e-3,
        description="largest difference between the losses of a loaded patient and those of its "
        "evaluation, nats per token",
    )
    action: Literal["refuse", "warn"] = Field(
        "refuse", description="what a failed guard does: stop the job, or log a warning"
    )

# SPDX-License-Identifier: MIT
"""An invalid checkpoint stops the run at the job that reads it."""

from pathlib import Path

import pytest
import torch
from checkout import leftovers, snakemake
from safetensors.torch import load_file, save_file

RUN = Path("results/counted/general_points/base-1/seed-1")
MATRIX = "model.layers.0.mlp.down_proj.weight"


@pytest.mark.slow
def test_a_nan_is_reported_by_tensor_and_leaves_no_evaluation(study: Path) -> None:
    weights = study / RUN / "sft/step-4/model.safetensors"
    tensors = load_file(weights)
    tensors[MATRIX][0, 0] = torch.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    done = snakemake(study)
    assert done.returncode == 1
    expected = f"sft/step-4: tensor {MATRIX} holds a NaN or infinity; expected finite weights"
    assert expected in done.stdout
    assert not (study / RUN / "evaluations/sft-4.parquet").exists()
    assert not (study / RUN / "evaluations/sft-4.csv").exists()
    assert leftovers(study) == []

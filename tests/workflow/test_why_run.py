# SPDX-License-Identifier: MIT
"""`derotate why` after a failed run, and after the run that completed the study."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from checkout import derotate, snakemake
from safetensors.torch import load_file, save_file

STUDY = "results/counted"
RUN = f"{STUDY}/general_points/base-1/seed-1"
MATRIX = "model.layers.0.mlp.down_proj.weight"


def why(folder: Path, *arguments: str) -> str:
    done = derotate(folder, "why", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_failed_job_is_reported_with_log_waiting_jobs_and_cost_of_a_rerun(study: Path) -> None:
    weights = study / RUN / "sft/step-4/model.safetensors"
    shutil.copy2(weights, study / "good")
    tensors = load_file(weights)
    tensors[MATRIX][0, 0] = torch.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    # only one of the jobs that read the weights, since otherwise several could fail
    assert snakemake(study, f"{RUN}/evaluations/sft-4.csv").returncode == 1
    told = why(study)
    assert told == why(study, STUDY)
    assert f"The last run of {STUDY} failed: 1 job; 0 jobs finished" in told
    assert "1. evaluation of sft-4 (base 1, seed 1) (rule evaluate_sft)" in told
    assert f"log     {RUN}/logs/evaluation/sft-4.log" in told
    assert f"tensor {MATRIX} holds a NaN or infinity" in told
    assert re.search(r"blocks  \d+ jobs \(.*landmarks.*\): about \d+ s of job time", told)
    like = (
        rf"(median of 2 similar jobs|1 similar job): {STUDY}/\*\*/benchmarks/evaluation/sft-\*\.tsv"
    )
    assert re.search(rf"rerun   about \d+ s, up to \d+ MB \({like}\)", told)
    assert re.search(r"needs   1 core, \d+00 MB, \d+ minutes", told)

    shutil.move(study / "good", weights)
    mended = snakemake(study)
    assert mended.returncode == 0, mended.stdout
    assert f"The last run of {STUDY} succeeded" in why(study)

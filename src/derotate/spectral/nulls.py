# SPDX-License-Identifier: MIT
"""Null models of spectra: what every spectral metric is compared with.

The released figures of LLaMA spectra show random initial weights: singular values agree within 1 %
and vectors look rotated by 25 to 90 degrees (arXiv 2509.12235, released spectra). Two nulls
distinguish that from an effect of training: a random change of equal norm, and two unrelated
matrices.
"""

import hashlib

import torch
from torch import Tensor


def norm_null(weight: Tensor, delta_norm: float, generator: torch.Generator) -> Tensor:
    """The donor's weight [out, in] plus gaussian noise of Frobenius norm `delta_norm`, float64.

    Its factors are compared with the donor's in place of the patient's.
    """
    noise = torch.randn(weight.shape, dtype=torch.float64, generator=generator)
    return weight.to(torch.float64) + noise * (delta_norm / float(noise.norm()))


def unrelated_null(shape: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two unrelated gaussian matrices [out, in], float64, to compare as donor and patient.

    Angles between them depend on the shape alone, and fine-tuning cannot rotate vectors further.
    """
    first, second = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2))
    return first, second


def matrix_generator(seed: int, tensor_name: str) -> torch.Generator:
    """Random generator of one matrix, independent of the order in which matrices are edited."""
    digest = hashlib.sha256(f"{seed}:{tensor_name}".encode()).digest()
    # Seven bytes are a valid seed whether read as signed or as unsigned 64 bits.
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

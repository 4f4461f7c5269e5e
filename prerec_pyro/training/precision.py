"""Number format of the matrix products of a training step."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Return the context of a forward pass: matrix products in bfloat16, or everything in float32.

    Parameters, priors, popularity effects, residual streams, softmax and optimisers stay in float32. ``auto`` takes
    bfloat16 if the hardware multiplies it faster than float32; see `multiplies_bfloat16`.
    """
    on = precision == "bfloat16" or (precision == "auto" and multiplies_bfloat16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=on)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether a step is known to be faster in bfloat16: on CPUs with AVX-512 BF16 or AMX.

    On CUDA it is not: on an H200 a step of the default size took four times as long as in float32; see
    ``benchmarks/results/cuda_h200.txt``.
    """
    if device.type == "cuda":
        return False
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))

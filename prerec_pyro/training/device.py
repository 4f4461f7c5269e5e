"""Choice of the device to compute on."""

from __future__ import annotations

import torch

from prerec_pyro.errors import InputError


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``; ``auto`` is CUDA if there is one.

    Raises
    ------
    InputError
        If the name is another, or it is ``cuda`` and there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: PyTorch sees no CUDA device here; use auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")

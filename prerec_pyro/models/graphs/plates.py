"""Plates of which every row is there."""

from __future__ import annotations

import pyro


def whole_plate(name: str, size: int) -> pyro.plate:
    """Return ``pyro.plate(name, size, dim=-1)``.

    It is told its indices, as it would otherwise ask all handlers for them and make a tensor of them, in every step.
    """
    return pyro.plate(name, size, subsample=range(size), dim=-1)

"""Sums of probabilities that are given as logarithms."""

from __future__ import annotations

import torch
from torch import Tensor


def log_add_exp(first: Tensor, second: Tensor) -> Tensor:
    """Return ``log(exp(first) + exp(second))``, -inf only where both are.

    Unlike `torch.logaddexp`, which rounds the last few numbers of an array differently on a CPU, it gives equal results
    wherever equal numbers stand, so that equal scores of items tie.

    Examples
    --------
    >>> log_add_exp(torch.tensor([0.0, -torch.inf]), torch.tensor([0.0, 1.0]))
    tensor([0.6931, 1.0000])
    """
    high, low = torch.maximum(first, second), torch.minimum(first, second)
    return high + (low - high.clamp_min(torch.finfo(high.dtype).min)).exp().log1p()

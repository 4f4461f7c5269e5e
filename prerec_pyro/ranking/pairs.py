"""Pairs of a user and an item, such as those that the lists leave out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Pairs = tuple[np.ndarray, np.ndarray]
"""(rows, items): row of each user among the queries, and item index; both ``(num_pairs,)``."""


def as_tensors(pairs: Pairs | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the rows and items as int64 tensors on a device, each ``(num_pairs,)``; None is no pair.

    Examples
    --------
    >>> as_tensors((np.array([0, 1]), np.array([4, 2])), torch.device("cpu"))
    (tensor([0, 1]), tensor([4, 2]))
    """
    if pairs is None:
        return torch.empty(0, dtype=torch.int64, device=device), torch.empty(0, dtype=torch.int64, device=device)
    rows, items = (torch.from_numpy(part.astype(np.int64)).to(device) for part in pairs)
    return rows, items

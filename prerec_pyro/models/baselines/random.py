"""Random: any item is as good as any other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


class Random:
    """Gives every item the same score.

    Where lists are made, ties are broken at random; where ranks are measured, a tie counts as the mean over its
    orders. Its metrics are therefore the exact expectation of recommending at random, not one draw.
    """

    name = "random"

    def scorer(self, encoded: Any) -> Random:
        """Return itself: all it needs is in the batch."""
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return ``(num_queries, num_items)`` zeros."""
        return torch.zeros(batch.num_queries, len(batch.items), device=batch.items.device)

"""Random: all items are equally good."""

from __future__ import annotations

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


class Random:
    """Gives every item the same score.

    Lists break ties at random; a rank among ties counts as the mean over their orders. The metrics are therefore the
    exact expectation of random recommendations, not those of one draw.
    """

    name = "random"

    def scorer(self, encoded: object) -> Random:
        """Return itself: the batch holds all that it needs."""
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return zeros, ``(num_queries, num_items)``."""
        return torch.zeros(batch.num_queries, len(batch.items), device=batch.items.device)

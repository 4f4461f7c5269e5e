"""POP: what sold most in the last 15 days (appendix C.2)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


class MostPopular:
    """Ranks items by their interactions in the window before the query's day; equal counts tie."""

    name = "pop"

    def scorer(self, encoded: Any) -> MostPopular:
        """Return itself: all it needs is in the batch."""
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return c_j^T, ``(num_queries, num_items)`` float32."""
        return batch.counts.float()[batch.slot]

"""POP: the most popular items of the last 15 days (appendix C.2)."""

from __future__ import annotations

from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


class MostPopular:
    """Ranks items by their interactions in the window before the day of the query; items with equal counts tie."""

    name = "pop"

    def scorer(self, encoded: object) -> MostPopular:
        """Return itself: the batch holds all that it needs."""
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return c_j^T, ``(num_queries, num_items)`` float32.

        Raises
        ------
        ValueError
            If the batch is not over the full catalogue.
        """
        if batch.counts is None:
            raise ValueError("the batch has no counts: POP scores batches over the full catalogue")
        return batch.counts.float()[batch.slot]

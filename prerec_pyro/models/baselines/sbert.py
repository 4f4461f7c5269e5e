"""SBERT: the items with the text most similar to that of the last item (appendix C.2)."""

from __future__ import annotations

from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


class SBERT:
    """Ranks items by the inner product of their text embedding with that of the user's last item."""

    name = "sbert"

    def scorer(self, encoded: object) -> SBERT:
        """Return itself: the batch holds all that it needs."""
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return inner products, ``(num_queries, num_items)``."""
        return batch.texts[batch.last_items] @ batch.texts.mT

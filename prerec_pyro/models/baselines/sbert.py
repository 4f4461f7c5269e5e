"""SBERT: the items whose text is most like that of the last one (appendix C.2)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


class SBERT:
    """Ranks items by the inner product of their text embedding with that of the user's last item."""

    name = "sbert"

    def scorer(self, encoded: Any) -> SBERT:
        """Return itself: all it needs is in the batch."""
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return inner products, ``(num_queries, num_items)``."""
        return batch.texts[batch.last_items] @ batch.texts.mT

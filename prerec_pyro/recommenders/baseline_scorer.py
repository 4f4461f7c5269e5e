"""U·V of a learned baseline, for the queries of one domain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.ranking.exact import ScoreFactors


class TextScorer:
    """Scores U·V of every item of one domain; V is computed once.

    Parameters
    ----------
    module
        A learned baseline, in evaluation mode.
    encoded
        The domain.
    rows
        ``(num_items,)`` of each item in the module's table, -1 for one that it was not trained on.
    device
        Where the module is.
    """

    @torch.no_grad()
    def __init__(self, module: nn.Module, encoded: EncodedDomain, rows: Tensor, device: torch.device) -> None:
        self.module = module
        self.device = device
        self.items = module.items(encoded.texts.to(device), rows.to(device))  # (num_items, B)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Return ``(num_queries, num_items)`` scores; the batch is over the full catalogue."""
        return self.user_vectors(batch) @ self.items.mT

    @torch.no_grad()
    def user_vectors(self, batch: Batch) -> Tensor:
        """Return U, ``(num_queries, B)``."""
        history, positions = batch.history.to(self.device), batch.positions.to(self.device)
        return self.module.users(self.items[history], positions)

    def score_factors(self, batch: Batch) -> ScoreFactors:
        """Return V: there is nothing else, at any time."""
        return ScoreFactors(self.items)

    def item_vectors_at_end(self) -> Tensor:
        """Return V, ``(num_items, B)``: it does not change with time."""
        return self.items

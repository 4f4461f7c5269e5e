"""The scores U·V of a trained baseline, for the queries of one domain."""

from __future__ import annotations

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.models.baselines.base import BaselineModel
from prerec_pyro.ranking.exact import ScoreFactors
from prerec_pyro.ranking.users import Users


class TextScorer:
    """Scores every item of one domain by U·V; V is computed once.

    Parameters
    ----------
    module
        A trained baseline, in evaluation mode.
    encoded
        The domain.
    rows
        ``(num_items,)`` rows of the items in the table of the module, -1 for an item that it was not trained on.
    device
        Device of the module.
    """

    @torch.no_grad()
    def __init__(self, module: BaselineModel, encoded: EncodedDomain, rows: Tensor, device: torch.device) -> None:
        self.module = module
        self.device = device
        self.items = module.items(encoded.texts.to(device), rows.to(device))  # (num_items, B)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Return scores, ``(num_queries, num_items)``, for a batch over the full catalogue."""
        return self.users(batch).match(self.items)

    @torch.no_grad()
    def users(self, batch: Batch) -> Users:
        """Return U of the queries."""
        history, positions = batch.history.to(self.device), batch.positions.to(self.device)
        return Users(self.module.users(self.items[history], positions))

    def score_factors(self, batch: Batch) -> ScoreFactors:
        """Return V as the only factor, at any time."""
        return ScoreFactors(self.items)

    def item_vectors_at_end(self) -> Tensor:
        """Return V, ``(num_items, B)``; it does not change with time."""
        return self.items

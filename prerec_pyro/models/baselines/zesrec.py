"""ZESRec, GRU variant (Ding et al., "Zero-Shot Recommender Systems", 2021), from its paper: no code was released."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.baselines.base import BaselineConfig, BaselineModel
from prerec_pyro.models.baselines.gru4rec import GRUEncoder
from prerec_pyro.models.baselines.item_network import ItemNetwork
from prerec_pyro.models.baselines.text_sequence import item_offsets, next_item_loss


class ZESRecConfig(BaselineConfig):
    """Shapes and prior of ZESRec; plain JSON, saved with a model."""

    num_layers: int = Field(2, ge=1, le=16, description="GRU layers")
    text_hidden: int = Field(0, ge=0, description="width of the MLP from texts to items; 0 is a linear map")
    dropout: float = Field(0.1, ge=0, lt=1)
    carry: bool = Field(True, description="add the last item to the output of the units")
    offset_scale: float = Field(0.02, gt=0, description="λ_v^-1/2, standard deviation of an item around its text")


class ZESRec(BaselineModel):
    """Hierarchical Bayes over items and a GRU over their vectors, trained by MAP::

        V_j ~ Normal(f_e(X_j), λ_v^-1/2)    universal item embedding, plus an offset for each item
        U   = f_seq(V of the history)       universal user embedding
        R   ~ Categorical(softmax(U·V))     over the items of the user's domain

    In a domain that it was not trained on no offset is known, and V is its prior mean f_e(X).

    From the paper: the item network, the offsets and their prior, a GRU that reads V, a softmax over items. Left open
    by the paper, or changed here: the paper trains on one domain, here domains take turns with shared networks; f_e is
    one linear map that starts at the principal directions of the texts; U is its prior mean; the softmax is sampled;
    the offsets are non-centred, so that the gradient reaches f_e; their penalty is estimated from the batch's uniform
    negatives, in the units of a sum over all interactions.

    Parameters
    ----------
    config
        Shapes and prior.
    text_dim
        Length of X_j.
    num_rows
        Number of items of all training domains. A step changes the rows of its batch only.
    """

    table: nn.Embedding

    def __init__(self, config: ZESRecConfig, text_dim: int, num_rows: int) -> None:
        super().__init__(text_dim)
        self.offset_scale = config.offset_scale
        self.f_e = ItemNetwork(text_dim, config.latent_dim, hidden=config.text_hidden, dropout=config.dropout)
        self.f_seq = GRUEncoder(
            config.latent_dim, num_layers=config.num_layers, dropout=config.dropout, carry=config.carry
        )
        self.table = nn.Embedding(num_rows, config.latent_dim, sparse=True)  # in units of the prior's scale
        nn.init.zeros_(self.table.weight)

    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Start f_e at the principal directions of the domains' texts, ``(num_items, text_dim)`` each."""
        self.f_e.start_from(texts)

    def items(self, texts: Tensor, rows: Tensor) -> Tensor:
        """Return V, ``(num_rows, B)``, from X and the rows of the items in the table; the prior mean at row -1."""
        return self.f_e(texts) + self.offset_scale * item_offsets(self.table, rows)

    def users(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U, ``(num_queries, B)``."""
        return self.f_seq(history, positions)

    def forward(self, *batches: Batch) -> Tensor:
        """Return the negative log joint density, a scalar in nats per query, as the mean over batches."""
        return torch.stack([next_item_loss(self, batch) + self._penalty(batch) for batch in batches]).mean()

    def _penalty(self, batch: Batch) -> Tensor:
        """Return the negative log prior of the offsets, per query of the domain, without its constant."""
        if batch.prior_weight is None:
            raise ValueError("the batch has no prior weights: it can be scored, but no loss can be computed from it")
        drawn = batch.prior_weight > 0
        squares = self.table(batch.item_rows[drawn]).square().sum(-1)  # (num_drawn,)
        return 0.5 * (batch.prior_weight[drawn] * squares).sum() / batch.num_domain_queries

"""ZESRec, GRU variant (Ding et al., "Zero-Shot Recommender Systems", 2021), from its paper: no code was released."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.baselines.gru4rec import GatedRecurrence
from prerec_pyro.models.baselines.item_network import TextItems
from prerec_pyro.models.baselines.text_sequence import offsets_of, sampled_softmax


class ZESRecConfig(BaseModel):
    """Shapes and prior of ZESRec; plain JSON, saved with a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: int = Field(256, ge=2, description="B")
    num_layers: int = Field(2, ge=1, le=16, description="GRU layers")
    text_hidden: int = Field(0, ge=0, description="width of the MLP from texts to items; 0 is a linear map")
    dropout: float = Field(0.1, ge=0, lt=1)
    carry: bool = Field(True, description="add the last item to the output of the units")
    offset_scale: float = Field(0.02, gt=0, description="λ_v^-1/2, how far an item stands from its text")


class ZESRec(nn.Module):
    """Hierarchical Bayes over items, a GRU over their vectors; trained by MAP::

        V_j ~ Normal(f_e(X_j), λ_v^-1/2)    universal item embedding, and the item's own offset
        U   = f_seq(V of the history)       universal user embedding
        R   ~ Categorical(softmax(U·V))     over the items of the user's domain

    In a domain that it was not trained on no offset is known: V stands at its prior mean, f_e(X).

    From the paper: the item network, the offsets and their prior, a GRU that reads V, softmax over items. Left open,
    and decided here: it trains on one domain, here domains take turns with shared networks; f_e is one linear map that
    starts at the principal directions of the texts; U stands at its prior's mean; the softmax is sampled; the offsets
    are non-centred, so that the gradient reaches f_e, and their penalty is estimated from the batch's uniform
    negatives, in the units of a sum over all interactions.

    Parameters
    ----------
    config
        Shapes and prior.
    text_dim
        Length of X_j.
    num_rows
        Items of all domains that are trained on; a step touches the rows of its batch only.
    """

    together = False

    def __init__(self, config: ZESRecConfig, text_dim: int, num_rows: int) -> None:
        super().__init__()
        self.offset_scale = config.offset_scale
        self.f_e = TextItems(text_dim, config.latent_dim, hidden=config.text_hidden, dropout=config.dropout)
        self.f_seq = GatedRecurrence(
            config.latent_dim, num_layers=config.num_layers, dropout=config.dropout, carry=config.carry
        )
        self.table = nn.Embedding(num_rows, config.latent_dim, sparse=True)  # in units of the prior's scale
        nn.init.zeros_(self.table.weight)

    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Project on the principal directions of the domains' texts, ``(num_items, text_dim)`` each."""
        self.f_e.start_from(texts)

    def items(self, texts: Tensor, rows: Tensor) -> Tensor:
        """Return V, ``(num_rows, B)``, of X and the items' rows in the table; at -1 it is the prior mean."""
        return self.f_e(texts) + self.offset_scale * offsets_of(self.table, rows)

    def users(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U, ``(num_queries, B)``; see `GatedRecurrence`."""
        return self.f_seq(history, positions)

    def forward(self, *batches: Batch) -> Tensor:
        """Return the negative log joint density, a scalar in nats a query, the mean over batches."""
        losses = []
        for batch in batches:
            V = self.items(batch.texts, batch.item_rows)  # (num_rows, B)
            fit = sampled_softmax(self.users(V[batch.history], batch.positions), V, batch)
            drawn = batch.prior_weight > 0
            squares = self.table(batch.item_rows[drawn]).square().sum(-1)  # (num_drawn,)
            losses.append(fit + 0.5 * (batch.prior_weight[drawn] * squares).sum() / batch.num_domain_queries)
        return torch.stack(losses).mean()

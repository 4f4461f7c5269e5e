"""The model behind GRU4Rec and SASRec, and the loss that all trained baselines share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.baselines.base import BaselineModel, targets_of
from prerec_pyro.models.baselines.item_network import ItemNetwork


class TextSequenceModel(BaselineModel):
    """Scores U·V with V = f_e(X) and U = f_seq(V of the history).

    There is no embedding by item id. A new item is recommended like any other, and no table grows with the catalogue.

    Parameters
    ----------
    f_e
        Item network, from X to V.
    f_seq
        Causal network from history and positions to U; see `BaselineModel.users`.
    text_dim
        Length of X_j.
    """

    def __init__(self, f_e: ItemNetwork, f_seq: nn.Module, text_dim: int) -> None:
        super().__init__(text_dim)
        self.f_e = f_e
        self.f_seq = f_seq

    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Start f_e at the principal directions of the domains' texts, ``(num_items, text_dim)`` each."""
        self.f_e.start_from(texts)

    def items(self, texts: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return V, ``(num_rows, B)``, from X, ``(num_rows, text_dim)``; `rows` are ignored."""
        return self.f_e(texts)

    def users(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U, ``(num_queries, B)``."""
        return self.f_seq(history, positions)

    def forward(self, *batches: Batch) -> Tensor:
        """Return the mean of `next_item_loss` over the batches, a scalar in nats per query."""
        return torch.stack([next_item_loss(self, batch) for batch in batches]).mean()


def next_item_loss(model: BaselineModel, batch: Batch) -> Tensor:
    """Return `sampled_softmax_loss` of a model on a batch, a scalar in nats per query."""
    V = model.items(batch.texts, batch.item_rows)  # (num_rows, B)
    return sampled_softmax_loss(model.users(V[batch.history], batch.positions), V, batch)


def sampled_softmax_loss(U: Tensor, V: Tensor, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of the targets among the shared in-domain negatives, a scalar in nats.

    It is the likelihood of PreRec (eq. 2 without confounders). It replaces the pairwise losses of the baselines' papers
    (BPR, TOP1, BCE with one negative), so that all methods see the same candidates. Later work found that these losses
    lack exactly this: many negatives, and a softmax.

    Parameters
    ----------
    U
        ``(num_queries, B)``.
    V
        ``(num_rows, B)``, one row for each of ``batch.items``.
    batch
        Training batch with targets and negatives. A negative that is the target counts once. Without negatives all
        rows compete.
    """
    targets = targets_of(batch)
    if batch.negatives is None:
        return F.cross_entropy(U @ V.mT, targets)
    target = (U * V[targets]).sum(-1)  # (num_queries,)
    scores = U @ V[batch.negatives].mT  # (num_queries, num_negatives)
    is_target = batch.negatives == targets[:, None]
    scores = scores.masked_fill(is_target, -torch.inf)
    logits = torch.cat([target[:, None], scores], dim=1)  # (num_queries, 1 + num_negatives)
    return F.cross_entropy(logits, torch.zeros_like(targets))


def item_offsets(table: nn.Embedding, rows: Tensor) -> Tensor:
    """Return the vectors of the table at `rows`, ``(num_rows, B)``; 0 at row -1, an item without a vector."""
    known = rows >= 0
    if known.all():
        return table(rows)
    return table.weight.new_zeros(len(rows), table.embedding_dim).index_put((known,), table(rows[known]))

"""What GRU4Rec and SASRec share here: items are their texts, users what a network makes of their items."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.baselines.item_network import TextItems


class TextSequenceModel(nn.Module):
    """Scores U·V with V = f_e(X) and U = f_seq(V of the history).

    There is no embedding by item id: a new item is served like any other, and no table grows with the catalogue.

    Parameters
    ----------
    f_e
        From texts to items.
    f_seq
        A causal network ``(history, positions) → users``: history ``(num_sequences, length, B)``, positions
        ``(num_queries,)`` in the flattened ``(num_sequences, length)``, users ``(num_queries, B)``.
    """

    together = False

    def __init__(self, f_e: TextItems, f_seq: nn.Module) -> None:
        super().__init__()
        self.f_e = f_e
        self.f_seq = f_seq

    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Project on the principal directions of the domains' texts, ``(num_items, text_dim)`` each."""
        self.f_e.start_from(texts)

    def items(self, texts: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return V, ``(num_rows, B)``, of X, ``(num_rows, text_dim)``; `rows` of an id table mean nothing here."""
        return self.f_e(texts)

    def users(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U, ``(num_queries, B)``; see `f_seq`."""
        return self.f_seq(history, positions)

    def forward(self, *batches: Batch) -> Tensor:
        """Return the mean of `sampled_softmax` over the batches, a scalar in nats a query."""
        losses = []
        for batch in batches:
            V = self.items(batch.texts)  # (num_rows, B)
            losses.append(sampled_softmax(self.users(V[batch.history], batch.positions), V, batch))
        return torch.stack(losses).mean()


def sampled_softmax(U: Tensor, V: Tensor, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of the targets among the shared in-domain negatives, a scalar in nats.

    It is PreRec's likelihood (eq. 2 without confounders) and stands in for the pairwise losses of the baselines' papers
    (BPR, TOP1, one-negative BCE): all methods then see the same candidates, and many negatives with a softmax are what
    later work found those losses to lack.

    Parameters
    ----------
    U
        ``(num_queries, B)``.
    V
        ``(num_rows, B)``, a row for each of ``batch.items``.
    batch
        Gives targets and negatives; a negative that is the target counts once. Without negatives all rows compete.
    """
    if batch.negatives is None:
        return F.cross_entropy(U @ V.mT, batch.targets)
    target = (U * V[batch.targets]).sum(-1)  # (num_queries,)
    scores = U @ V[batch.negatives].mT  # (num_queries, num_negatives)
    same = batch.negatives == batch.targets[:, None]
    logits = torch.cat([target[:, None], scores.masked_fill(same, -torch.inf)], dim=1)  # (num_queries, 1 + negatives)
    return F.cross_entropy(logits, torch.zeros_like(batch.targets))


def offsets_of(table: nn.Embedding, rows: Tensor) -> Tensor:
    """Return the table's ``(num_rows, B)`` at `rows`; 0 at -1, an item that it does not know."""
    known = rows >= 0
    if known.all():
        return table(rows)
    return table.weight.new_zeros(len(rows), table.embedding_dim).index_put((known,), table(rows[known]))

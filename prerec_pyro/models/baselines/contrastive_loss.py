"""Contrastive losses within a batch (UniSRec, sec. 2.2): each row against its positive and those of the other rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


def item_contrastive_loss(users: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of -log exp(u_i·v_i) / Σ_j exp(u_i·v_j), v_j the target of query j; a scalar in nats.

    The sum runs over j = i and over all queries with another target: the same target elsewhere is not a negative.
    Queries with the same target share a column, weighted by their number.

    Parameters
    ----------
    users
        ``(num_queries, B)``, divided by the temperature.
    items
        ``(num_rows, B)``.
    targets
        ``(num_queries,)`` rows of `items`.
    """
    distinct, own, counts = targets.unique(return_inverse=True, return_counts=True)
    log_count = counts.to(users).log()  # (num_distinct,)
    logits = users @ items[distinct].mT + log_count  # (num_queries, num_distinct)
    return F.cross_entropy(logits.scatter_add(1, own[:, None], -log_count[own, None]), own)


def sequence_contrastive_loss(sequences: Tensor, augmented: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of -log exp(s_i·s̃_i) / Σ_j exp(s_i·s̃_j), a scalar in nats; j as in `item_contrastive_loss`.

    Parameters
    ----------
    sequences, augmented
        s and s̃, ``(num_sequences, B)``; one of them is divided by the temperature.
    targets
        ``(num_sequences,)`` the item that follows each sequence.
    """
    same_target = targets[:, None] == targets
    same_target.fill_diagonal_(False)
    logits = (sequences @ augmented.mT).masked_fill(same_target, -torch.inf)  # (num_sequences, num_sequences)
    return F.cross_entropy(logits, torch.arange(len(targets), device=targets.device))


@dataclass(frozen=True, eq=False)
class AugmentedSequences:
    """Sequences with some items left out.

    Attributes
    ----------
    history
        ``(num_sequences, length)`` rows of the batch's items, padded on the right.
    positions
        ``(num_sequences,)`` position of the last item of each sequence in ``history.flatten()``.
    """

    history: Tensor
    positions: Tensor


def last_queries(batch: Batch) -> Tensor:
    """Return the last query of each sequence of a training batch, ``(num_sequences,)`` indices of its queries."""
    sequence = batch.positions // batch.history.shape[1]  # ascending
    return torch.bincount(sequence, minlength=len(batch.history)).cumsum(0) - 1


def drop_items(batch: Batch, ratio: float) -> AugmentedSequences:
    """Return the sequences of a batch without each item with probability `ratio`; the last item always stays."""
    num_sequences, length = batch.history.shape
    column = torch.arange(length, device=batch.history.device)
    first = length * torch.arange(num_sequences, device=column.device)  # where each sequence starts, flattened
    last = batch.positions[last_queries(batch)] - first
    kept = (torch.rand(num_sequences, length, device=column.device) >= ratio) & (column < last[:, None])
    kept |= column == last[:, None]  # (num_sequences, length)
    order = torch.where(kept, column, column + length).argsort(dim=1)  # kept items first, in their order
    return AugmentedSequences(batch.history.gather(1, order), kept.sum(1) - 1 + first)

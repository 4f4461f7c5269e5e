"""Contrast within a batch: each row against its own positive, among the positives of all rows (UniSRec, sec. 2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


def contrast_items(users: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of -log exp(u_i·v_i) / Σ_j exp(u_i·v_j), v_j the target of query j; a scalar in nats.

    The sum runs over j = i and over all queries with another target: the same target elsewhere is no negative. Queries
    with the same target share a column, weighed by their number.

    Parameters
    ----------
    users
        ``(num_queries, B)``, divided by the temperature.
    items
        ``(num_rows, B)``.
    targets
        ``(num_queries,)`` rows of `items`.
    """
    distinct, own, times = targets.unique(return_inverse=True, return_counts=True)
    weight = times.to(users).log()  # (num_distinct,)
    logits = users @ items[distinct].mT + weight  # (num_queries, num_distinct)
    return F.cross_entropy(logits.scatter_add(1, own[:, None], -weight[own, None]), own)


def contrast_sequences(whole: Tensor, short: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of -log exp(s_i·s̃_i) / Σ_j exp(s_i·s̃_j), a scalar in nats; j as in `contrast_items`.

    Parameters
    ----------
    whole, short
        s and s̃, ``(num_sequences, B)``; the temperature is in one of them.
    targets
        ``(num_sequences,)`` which item follows each sequence.
    """
    same = targets[:, None] == targets
    same.fill_diagonal_(False)
    logits = (whole @ short.mT).masked_fill(same, -torch.inf)  # (num_sequences, num_sequences)
    return F.cross_entropy(logits, torch.arange(len(targets), device=targets.device))


@dataclass(frozen=True, eq=False)
class Shortened:
    """Sequences short of some items: ``(num_sequences, length)`` rows, and where each ends once flattened."""

    history: Tensor
    positions: Tensor  # (num_sequences,)


def ends(batch: Batch) -> Tensor:
    """Return the query at the end of each sequence of a training batch, ``(num_sequences,)`` of its queries."""
    sequence = batch.positions // batch.history.shape[1]  # ascending
    return torch.bincount(sequence, minlength=len(batch.history)).cumsum(0) - 1


def drop_items(batch: Batch, ratio: float) -> Shortened:
    """Return the sequences of a batch with each item left out with probability `ratio`, the last never."""
    num_sequences, length = batch.history.shape
    column = torch.arange(length, device=batch.history.device)
    last = batch.positions[ends(batch)] - length * torch.arange(num_sequences, device=column.device)
    kept = (torch.rand(num_sequences, length, device=column.device) >= ratio) & (column < last[:, None])
    kept |= column == last[:, None]  # (num_sequences, length)
    order = torch.where(kept, column, column + length).argsort(dim=1)  # the kept ones first, in their order
    position = kept.sum(1) - 1 + length * torch.arange(num_sequences, device=column.device)
    return Shortened(batch.history.gather(1, order), position)

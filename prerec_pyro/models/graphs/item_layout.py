"""Items that differ by time slot, as they do under the edge Z → V: their rows, and their scores."""

from __future__ import annotations

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


def item_slots(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return row and level of each item in each slot, as `items` orders them under the edge Z → V."""
    num_slots, num_candidates = batch.candidate_level.shape
    candidates = torch.arange(num_candidates, device=batch.items.device)
    row = (candidates if batch.negatives is None else batch.negatives).repeat(num_slots)
    level = batch.candidate_level.flatten()
    if batch.negatives is None:
        return row, level
    return torch.cat([row, batch.targets]), torch.cat([level, batch.target_level])


def slotwise(U: Tensor, V: Tensor, batch: Batch) -> Tensor:
    """Return U·V, ``(..., num_queries, num_candidates)``, each query against the items of its own slot."""
    num_slots, num_candidates = batch.candidate_level.shape
    size = num_slots * num_candidates
    candidates = V[..., :size, :].unflatten(-2, (num_slots, num_candidates))
    order = torch.argsort(batch.slot)
    parts = U[..., order, :].split(torch.bincount(batch.slot, minlength=num_slots).tolist(), dim=-2)
    scores = torch.cat([part @ candidates[..., s, :, :].mT for s, part in enumerate(parts)], dim=-2)
    return scores[..., torch.argsort(order), :]  # (..., num_queries, num_candidates)


def share_among_slots(weight: Tensor, row: Tensor, batch: Batch) -> Tensor:
    """Spread each item's prior weight over the rows in which it now stands."""
    times = torch.bincount(row, minlength=len(weight)).clamp_min(1)
    return (weight / times)[row]

"""Rows of V in a batch: one per item, or, under the edge Z → V, one per item and time slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.likelihoods.softmax import Match


@dataclass(frozen=True, eq=False)
class ItemRows:
    """What V is computed from, row by row.

    Attributes
    ----------
    text
        f_e(X), ``(num_rows, B)``.
    Z
        ``(..., num_levels, B)`` popularity of all levels; None where V does not depend on it.
    level
        ``(num_rows,)`` row of Z of each item; None where V does not depend on it.
    prior_weight
        ``(num_rows,)`` how often each row counts in the prior of V; None counts each once.
    covariates
        Name → ``(num_rows,)`` numbers of the items, of a domain that has any.
    """

    text: Tensor
    Z: Tensor | None = None
    level: Tensor | None = None
    prior_weight: Tensor | None = None
    covariates: Mapping[str, Tensor] = field(default_factory=dict)


class ItemLayout(Protocol):
    """Order of the rows of V in a batch."""

    def index(self, batch: Batch) -> Tensor | None:
        """Return the row of the batch behind each row of V, ``(num_rows,)``; None where they are the same."""
        ...

    def rows(self, text: Tensor, Z: Tensor | None, batch: Batch) -> ItemRows:
        """Return what V of the batch is computed from, given f_e(X), ``(num_items, B)``, and Z of all levels."""
        ...

    def match(self, U: Tensor, V: Tensor, batch: Batch) -> Match:
        """Return U·V."""
        ...


class PerItem:
    """V has one row per item of the batch."""

    def index(self, batch: Batch) -> Tensor | None:
        """Return None: the rows of V are those of the batch."""
        return None

    def rows(self, text: Tensor, Z: Tensor | None, batch: Batch) -> ItemRows:
        """Return the rows of the batch as they are; see `ItemLayout.rows`."""
        return ItemRows(text, prior_weight=batch.prior_weight, covariates=batch.covariates)

    def match(self, U: Tensor, V: Tensor, batch: Batch) -> Match:
        """Return one product for all queries; see `ItemLayout.match`."""
        if batch.negatives is None:
            return Match(U @ V.mT)
        return Match(U @ V[..., batch.negatives, :].mT, (U * V[..., batch.targets, :]).sum(-1))


class PerItemAndSlot:
    """V has one row per candidate and time slot, slot by slot, then, in training, one per target."""

    def index(self, batch: Batch) -> Tensor:
        """Return the row of the batch behind each row of V, ``(num_rows,)``."""
        return _slots(batch)[0]

    def rows(self, text: Tensor, Z: Tensor | None, batch: Batch) -> ItemRows:
        """Return candidates and targets, each with Z of its own level; see `ItemLayout.rows`."""
        row, level = _slots(batch)
        weight = batch.prior_weight
        if weight is not None:  # an item's weight is shared by the rows in which it occurs
            weight = (weight / torch.bincount(row, minlength=len(weight)).clamp_min(1))[row]
        covariates = {name: value[row] for name, value in batch.covariates.items()}
        return ItemRows(text[row], Z, level, weight, covariates)

    def match(self, U: Tensor, V: Tensor, batch: Batch) -> Match:
        """Return products slot by slot, each query against the items of its own slot; see `ItemLayout.match`."""
        num_slots, num_candidates = batch.candidate_level.shape
        candidates = V[..., : num_slots * num_candidates, :].unflatten(-2, (num_slots, num_candidates))
        order = torch.argsort(batch.slot)
        parts = U[..., order, :].split(torch.bincount(batch.slot, minlength=num_slots).tolist(), dim=-2)
        scores = torch.cat([part @ candidates[..., s, :, :].mT for s, part in enumerate(parts)], dim=-2)
        scores = scores[..., torch.argsort(order), :]  # (..., num_queries, num_candidates)
        return Match(scores, None if batch.negatives is None else (U * V[..., -batch.num_queries :, :]).sum(-1))


def _slots(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return row in the batch and popularity level of each row of V."""
    num_slots, num_candidates = batch.candidate_level.shape
    candidates = torch.arange(num_candidates, device=batch.items.device)
    row = (candidates if batch.negatives is None else batch.negatives).repeat(num_slots)
    level = batch.candidate_level.flatten()
    if batch.negatives is None or batch.targets is None or batch.target_level is None:
        return row, level
    return torch.cat([row, batch.targets]), torch.cat([level, batch.target_level])

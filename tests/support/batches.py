"""Helpers to read batches."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.inference.interventions.scorer import InterventionalScorer


def prefix(batch: Batch, query: int) -> list[int]:
    """Return the item indices that a causal pass reads for a query."""
    row, column = divmod(int(batch.positions[query]), batch.history.shape[1])
    return batch.items[batch.history[row, : column + 1]].tolist()


def tensors(batch: Batch) -> dict[str, Tensor]:
    """Return the tensors of a batch by the names of their fields."""
    named = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: value for name, value in named.items() if isinstance(value, Tensor)}


def effects(scorer: InterventionalScorer, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the match and Z·W_z, each ``(num_queries, num_items)``, as they count at S = 0."""
    users, items, popularity = scorer.parts(batch)
    return users.match(items), popularity[batch.slot]

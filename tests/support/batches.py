"""Helpers to read batches."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


def prefix(batch: Batch, query: int) -> list[int]:
    """Return the item indices that a causal pass reads for a query."""
    row, column = divmod(int(batch.positions[query]), batch.history.shape[1])
    return batch.items[batch.history[row, : column + 1]].tolist()


def tensors(batch: Batch) -> dict[str, Tensor]:
    """Return the tensors of a batch by the names of their fields."""
    named = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: value for name, value in named.items() if isinstance(value, Tensor)}

"""Plates and scales of the graphs: rows of domains, items and queries, and how often each counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pyro
import torch
from pyro.poutine.mask_messenger import MaskMessenger
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch


def whole_plate(name: str, size: int) -> pyro.plate:
    """Return ``pyro.plate(name, size, dim=-1)`` without subsampling.

    The indices are given: otherwise the plate asks all handlers for them and makes a tensor of them in every step.
    """
    indices: Any = range(size)  # as good as a tensor where nobody indexes by it
    return pyro.plate(name, size, subsample=indices, dim=-1)


def only_rows(counted: Tensor) -> MaskMessenger:
    """Return a handler under which the rows that are True count, and the others do not."""
    return pyro.poutine.mask(mask=cast(torch.BoolTensor, counted))  # as Pyro calls a tensor of bool


def query_plate(batch: Batch) -> pyro.plate:
    """Return the plate of a domain's queries, subsampled to those of the batch."""
    return pyro.plate("queries", batch.num_domain_queries, subsample=batch.positions, dim=-1)


@contextmanager
def domain_plate(num_domains: int, domain: int, device: torch.device) -> Iterator[None]:
    """Enter the plate of the domains; only the prior of one, the batch's own, counts."""
    own = torch.arange(num_domains, device=device) == domain
    with whole_plate("domains", num_domains), only_rows(own):
        yield


@contextmanager
def item_plate(num_rows: int, weight: Tensor | None) -> Iterator[None]:
    """Enter the plate of the items; each row counts `weight` times, rows of weight 0 not at all."""
    with whole_plate("items", num_rows):
        if weight is None:
            yield
            return
        counted = weight > 0
        with pyro.poutine.scale(scale=torch.where(counted, weight, 1.0)), only_rows(counted):
            yield


@contextmanager
def per_query(batch: Batch) -> Iterator[None]:
    """Divide log densities by the domain's number of queries: a batch of any domain weighs the same, in nats a query.

    The weight of a domain is then its share of the batches. D, S and item offsets have one domain each, so their mode
    does not depend on it.
    """
    with pyro.poutine.scale(scale=1.0 / batch.num_domain_queries):
        yield

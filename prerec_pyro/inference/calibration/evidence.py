"""Evidence about the effect scales S in a log: each choice, and the rivals that it was preferred to."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.models.graphs.extended import ExtendedGraph

NEAR, POPULAR, DRAWN = 160, 64, 288
"""Rivals of a new item: those that score highest, the most popular ones, and draws that represent all others."""

BLOCK = 32
"""Queries whose rivals' vectors are in memory at a time."""

FEW_ITEMS = 1024
"""Catalogues up to this size are multiplied whole: that is cheaper than to gather the rivals of each query."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence about S in a log: the parts of the score of each choice and of its rivals.

    Rivals of a repeated item are the other items of the history. Rivals of a new item are new items: the nearest and
    the most popular ones, which hold most of the mass of the softmax, and uniform draws that represent the others.

    Attributes
    ----------
    correction, popularity
        ``(num_queries, num_rivals + 1)`` what f_seq adds to the match, and Z·W_z, of the target and of its rivals.
    products
        ``(num_queries, num_interests, num_rivals + 1)`` products of V of each interest, the latest first, with V of
        them, and where there is no further interest those of the latest again; no interest where U·V is one product,
        which `correction` then holds.
    length
        ``(num_queries, 1)`` length of an interest.
    is_interest
        ``(num_queries, num_interests)`` bool; a short history has fewer.
    weight
        ``(num_queries, num_rivals + 1)`` log of the number of items that each represents; -inf for none.
    is_repeat
        ``(num_queries,)`` bool: the target is an item of the history.
    counts
        ``(num_queries, 2)`` repeats and other choices of the user so far; see `repeat_counts`.
    times
        ``(num_queries,)`` time slots.
    events
        ``(num_queries,)`` the choices, as positions in the log.
    """

    correction: Tensor
    popularity: Tensor
    products: Tensor
    length: Tensor
    is_interest: Tensor
    weight: Tensor
    is_repeat: Tensor
    counts: Tensor
    times: Tensor
    events: Tensor

    def __getitem__(self, which: slice | Tensor) -> Evidence:
        return Evidence(*(getattr(self, field.name)[which] for field in dataclasses.fields(self)))

    def __len__(self) -> int:
        return len(self.times)


@torch.no_grad()
def gather(scorer: InterventionalScorer, encoded: EncodedDomain, users: np.ndarray, seed: int = 0) -> Evidence | None:
    """Return the evidence in the queries of `users`, sorted by time; None if they have no query.

    Parameters
    ----------
    scorer
        Scorer of the domain, with S at 0.
    encoded
        The domain.
    users
        ``(n,)`` user rows.
    seed
        Seed of the draws of rivals.
    """
    generator = torch.Generator().manual_seed(seed)
    found = [_of_batch(scorer, batch, generator) for batch, _ in query_batches(encoded, users, max_scores=1 << 21)]
    if not found:
        return None
    width = max(one.weight.shape[1] for one in found)
    most = max(one.is_interest.shape[1] for one in found)
    padded = [_padded(one, most, width) for one in found]
    names = [field.name for field in dataclasses.fields(Evidence)]
    evidence = Evidence(*(torch.cat([getattr(one, name) for one in padded]) for name in names))
    return evidence[evidence.times.argsort(stable=True)]


def _of_batch(scorer: InterventionalScorer, batch: Batch, generator: torch.Generator) -> Evidence:
    assert batch.targets is not None and batch.events is not None  # these are queries of the log
    assert batch.repeat_counts is not None
    users, items, popularity = scorer.parts(batch)
    match, popularity = users.match(items).cpu(), popularity.cpu()[batch.slot]  # each (num_queries, num_items)
    vectors, V = users.vectors.cpu(), items.cpu()
    is_seen = torch.zeros(match.shape, dtype=torch.bool)
    is_seen[tuple(batch.repeats)] = True
    candidates, weight = _rivals(match, popularity, is_seen, batch.targets, generator)
    is_repeat = is_seen.gather(1, batch.targets[:, None])[:, 0]
    if is_repeat.any():
        _history_as_rivals(candidates, weight, is_seen, is_repeat, batch.targets)
    interests, is_interest = _interests(scorer, batch)
    found = []
    for rows in torch.arange(len(candidates)).split(BLOCK):
        read = torch.cat([vectors[rows, None], V[interests[rows]]], dim=1)  # (num_rows, 1 + num_interests, B)
        if len(V) <= FEW_ITEMS:
            own = candidates[rows, None].expand(-1, read.shape[1], -1)
            found.append((read @ V.mT).gather(2, own))  # (num_rows, 1 + num_interests, num_rivals + 1)
        else:
            found.append(read @ V[candidates[rows]].mT)
    products = torch.cat(found)
    return Evidence(
        products[:, 0],
        popularity.gather(1, candidates),
        products[:, 1:],
        torch.ones(len(products), 1) if users.interests is None else users.interests.scale.cpu(),
        is_interest,
        weight,
        is_repeat,
        batch.repeat_counts,
        batch.times[batch.slot],
        batch.events,
    )


def _rivals(
    match: Tensor, popularity: Tensor, is_seen: Tensor, targets: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the target and its rivals among the new items, and the log number of items that each represents."""
    num_queries, num_items = match.shape
    target = targets[:, None]
    other = ~is_seen
    other.scatter_(1, target, False)
    if num_items <= NEAR + POPULAR + DRAWN:
        candidates = torch.cat([target, torch.arange(num_items).expand(num_queries, -1)], dim=1)
        weight = torch.zeros(candidates.shape).masked_fill(~other.gather(1, candidates), -torch.inf)
    else:
        near = (match + popularity).masked_fill(~other, -torch.inf).topk(NEAR).indices
        left = other.scatter(1, near, False)
        popular = popularity.masked_fill(~left, -torch.inf).topk(POPULAR).indices
        left.scatter_(1, popular, False)
        drawn = torch.randint(num_items, (num_queries, DRAWN), generator=generator)
        share = torch.zeros(drawn.shape).masked_fill(~left.gather(1, drawn), -torch.inf)
        candidates = torch.cat([target, near, popular, drawn], dim=1)
        exact = torch.zeros(num_queries, NEAR + POPULAR + 1).masked_fill(~_any_new(other, near, popular), -torch.inf)
        weight = torch.cat([exact, share + math.log(num_items / DRAWN)], dim=1)
    weight[:, 0] = 0.0
    return candidates, weight


def _any_new(other: Tensor, near: Tensor, popular: Tensor) -> Tensor:
    """Return which of target, near and popular items are new: a user may have seen nearly all items."""
    return torch.cat([torch.ones(len(near), 1, dtype=torch.bool), other.gather(1, near), other.gather(1, popular)], 1)


def _history_as_rivals(candidates: Tensor, weight: Tensor, is_seen: Tensor, is_repeat: Tensor, targets: Tensor) -> None:
    """Make the other items of the history the rivals of repeated items; changed in place."""
    own, item = is_seen[is_repeat].nonzero(as_tuple=True)
    count = torch.bincount(own)
    column = 1 + torch.arange(len(own)) - (count.cumsum(0) - count)[own]
    row = is_repeat.nonzero()[:, 0][own]
    weight[is_repeat] = -torch.inf
    kept = item != targets[row]
    candidates[row, column] = item
    weight[row[kept], column[kept]] = 0.0
    weight[:, 0] = 0.0


def _interests(scorer: InterventionalScorer, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the items of the last interests of each query, the latest first, and which of them there are.

    In place of those that there are not stands the latest.
    """
    graph = scorer.graph
    most = graph.interests.most if isinstance(graph, ExtendedGraph) and graph.interests is not None else 0
    length = batch.history.shape[1]
    age = torch.arange(min(most, length))
    last = (batch.positions % length)[:, None] - age  # (num_queries, num_interests)
    row = (batch.positions // length)[:, None]
    return batch.history[row, last.where(last >= 0, last[:, :1])], last >= 0


def _padded(one: Evidence, most: int, width: int) -> Evidence:
    """Return evidence with room for that many interests and rivals."""
    more, wide = most - one.is_interest.shape[1], width - one.weight.shape[1]
    pad = torch.nn.functional.pad
    latest = one.products[:, :1].expand(-1, more, -1)
    return dataclasses.replace(
        one,
        correction=pad(one.correction, (0, wide)),
        popularity=pad(one.popularity, (0, wide)),
        products=pad(torch.cat([one.products, latest], dim=1), (0, wide)),
        is_interest=pad(one.is_interest, (0, more)),
        weight=pad(one.weight, (0, wide), value=-torch.inf),
    )

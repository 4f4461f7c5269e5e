"""The protocol of appendix C: every event of a user but the first is a query, all items are candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.metrics import ExposureMetrics, RankingMetrics, target_ranks, usable_k_percent
from prerec_pyro.ranking.lists import Recommender, top_k

EXPOSURE_SIZE = 20


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one recommender reached on one domain.

    Attributes
    ----------
    method, domain
        Names.
    ranking, exposure
        Accumulated metrics.
    events
        ``(num_queries,)`` the event that each query predicts, in the order of ``ranking.per_query``: the same for
        every recommender that is measured on the same users, which is what paired tests need.
    users
        ``(num_queries,)`` user row of each query.
    unseen
        ``(num_queries,)`` bool, queries whose user and item occur in no source domain, or None where not asked.
    """

    method: str
    domain: str
    ranking: RankingMetrics
    exposure: ExposureMetrics
    events: np.ndarray
    users: np.ndarray
    unseen: np.ndarray | None = None

    def rows(self, split: str) -> list[dict[str, Any]]:
        """Return a plain row for all queries, and one for the unseen where asked: the contract of ``evaluate``."""
        head = {"method": self.method, "domain": self.domain, "split": split}
        k = {"k_percent": self.ranking.k_percent}
        rows = [head | {"subset": "all"} | k | self.ranking.compute() | self.exposure.compute()]
        if self.unseen is not None:
            rows.append(head | {"subset": "unseen"} | k | self.ranking.compute(self.unseen))
        return [{name: _plain(value) for name, value in row.items()} for row in rows]


@torch.no_grad()
def evaluate(
    recommender: Recommender,
    encoded: EncodedDomain,
    users: np.ndarray,
    *,
    k_percent: float,
    sources: Iterable[Domain] = (),
    max_scores: int = 1 << 21,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Rank the full catalogue for every query of `users`, on its exact last 64 items.

    Parameters
    ----------
    recommender
        Anything that answers to the contract.
    encoded
        The domain.
    users
        ``(n,)`` user rows, those of the test split say.
    k_percent
        K% in percent.
    sources
        Domains whose users and items, by raw id, do not count as unseen; none: no unseen row.
    max_scores
        Bound on the scores in memory at a time.
    progress
        Called with the number of queries of each finished batch.

    Raises
    ------
    InputError
        If K% of the items is less than one item, or a score is NaN.
    """
    ranking = RankingMetrics(encoded.num_items, k_percent)
    exposure = ExposureMetrics(encoded.num_items)
    scorer = recommender.scorer(encoded)
    sources = list(sources)
    events = []
    lots = torch.Generator().manual_seed(0)
    for batch, targets in query_batches(encoded, users, max_scores=max_scores):
        scores = scorer(batch).cpu()
        ranking.update(*target_ranks(scores, batch.targets))
        _, shown = top_k(scores, min(EXPOSURE_SIZE, encoded.num_items), lots)
        exposure.update(shown, batch.counts[batch.slot].gather(1, shown).float())
        events.append(targets)
        if progress is not None:
            progress(batch.num_queries)
    asked = np.concatenate([np.empty(0, np.int64), *events])
    unseen = unseen_queries(encoded.domain, asked, sources) if sources else None
    whose = encoded.domain.user_of_event[asked]
    return Evaluation(recommender.name, encoded.name, ranking, exposure, asked, whose, unseen)


def validation_score(
    recommender: Recommender,
    parts: Iterable[tuple[EncodedDomain, np.ndarray]],
    k_percent: float,
    max_queries: int,
) -> float:
    """Return the mean r-NDCG@K% over domains, the score that stops training (appendix C.3).

    Parameters
    ----------
    recommender
        What is being trained.
    parts
        Domains, each with its validation users.
    k_percent
        K% in percent; where that is less than one item, one item.
    max_queries
        Users are drawn, the same each time, until they give about this many queries. (Those that come first in a
        domain are often the earliest, and no sample of it.)

    Raises
    ------
    InputError
        If no domain has a validation user with two events.
    """
    scores = []
    for encoded, users in parts:
        drawn = np.random.default_rng(0).permutation(users)
        queries = np.maximum(np.diff(encoded.domain.offsets)[drawn] - 1, 0).cumsum()
        some = np.sort(drawn[: int(np.searchsorted(queries, max_queries)) + 1])
        if num_queries(encoded.domain, some):
            percent = usable_k_percent(encoded.num_items, k_percent)
            scores.append(evaluate(recommender, encoded, some, k_percent=percent).ranking.compute()["r_ndcg"])
    if not scores:
        raise InputError("no source domain has a validation user with two events; there is nothing to stop training on")
    return float(np.mean(scores))


def unseen_queries(domain: Domain, events: np.ndarray, sources: Iterable[Domain]) -> np.ndarray:
    """Return ``(len(events),)`` bool: neither the event's user nor its item occurs in a source, by raw id."""
    users, items = set(), set()
    for source in sources:
        users.update(source.user_ids)
        items.update(source.item_ids)
    new_user = np.array([user not in users for user in domain.user_ids], dtype=bool)
    new_item = np.array([item not in items for item in domain.item_ids], dtype=bool)
    return new_user[domain.user_of_event[events]] & new_item[domain.item_index[events]]


def num_queries(domain: Domain, users: np.ndarray) -> int:
    """Return how many queries these users give."""
    return int(np.maximum(np.diff(domain.offsets)[users] - 1, 0).sum())


def _plain(value: Any) -> Any:
    """JSON has no NaN: a mean over nothing is null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value

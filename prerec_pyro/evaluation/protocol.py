"""Evaluation protocol of appendix C: every event of a user except the first is a query, all items are candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.batching.ahead import made_ahead
from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.subsets import random_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.exposure import ExposureMetrics
from prerec_pyro.evaluation.metrics import RankingMetrics, usable_k_percent
from prerec_pyro.evaluation.ranks import ranks_and_lists
from prerec_pyro.ranking.lists import Recommender

EXPOSURE_SIZE = 20


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of one recommender on one domain.

    Attributes
    ----------
    method, domain
        Names of the recommender and of the domain.
    ranking, exposure
        Accumulated metrics.
    events
        ``(num_queries,)`` event that each query predicts, in the order of ``ranking.per_query``. It is the same for
        every recommender measured on the same users, as paired tests require.
    users
        ``(num_queries,)`` user row of each query.
    unseen
        ``(num_queries,)`` bool, queries with a user and an item that occur in no source domain; None without sources.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> ranking, exposure = RankingMetrics(num_items=4, k_percent=50), ExposureMetrics(num_items=4)
    >>> ranking.update(torch.tensor([0, 2]), torch.tensor([0, 0]))
    >>> found = Evaluation("pop", "shop", ranking, exposure, events=np.array([1, 3]), users=np.array([0, 1]))
    >>> found.rows("test")[0]["recall"]
    0.5
    """

    method: str
    domain: str
    ranking: RankingMetrics
    exposure: ExposureMetrics
    events: np.ndarray
    users: np.ndarray
    unseen: np.ndarray | None = None

    def rows(self, split: str) -> list[dict[str, Any]]:
        """Return the rows that ``prerec-pyro evaluate`` writes: all queries, then the unseen ones if there are sources.

        Parameters
        ----------
        split
            Name of the split, copied into the rows.
        """
        head: dict[str, Any] = {"method": self.method, "domain": self.domain, "split": split}
        k = {"k_percent": self.ranking.k_percent}
        rows = [{**head, "subset": "all", **k, **self.ranking.compute(), **self.exposure.compute()}]
        if self.unseen is not None:
            rows.append({**head, "subset": "unseen", **k, **self.ranking.compute(self.unseen)})
        return [{name: _nan_to_none(value) for name, value in row.items()} for row in rows]


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
    """Return the metrics of a recommender that ranks the full catalogue for every query of `users`.

    A query reads the exact last 64 items of the user.

    Parameters
    ----------
    recommender
        Any object of the `Recommender` protocol.
    encoded
        Domain to rank in.
    users
        ``(n,)`` user rows, such as those of the test split.
    k_percent
        K% in percent.
    sources
        Source domains. A query is unseen if neither its user nor its item, by raw id, occurs in one of them.
    max_scores
        Bound on the number of scores in memory at a time.
    progress
        Called with the number of queries of each finished batch.

    Raises
    ------
    InputError
        If K% of the items is less than one item, or a score is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro import simulate
    >>> from prerec_pyro.data.encoded import encode_domain
    >>> from prerec_pyro.models.baselines import MostPopular
    >>> (shop,) = simulate(1, num_items=30, num_users=40, num_days=20)
    >>> encoded = encode_domain(shop.domain.with_embeddings(shop.truth.item_mean))
    >>> found = evaluate(MostPopular(), encoded, np.arange(10), k_percent=10)
    >>> (row,) = found.rows("test")
    >>> row["method"], row["subset"], row["num_queries"] == len(found.events)
    ('pop', 'all', True)
    """
    ranking = RankingMetrics(encoded.num_items, k_percent)
    exposure = ExposureMetrics(encoded.num_items)
    scorer = recommender.scorer(encoded)
    sources = list(sources)
    parts = [np.empty(0, np.int64)]
    tie_breaker = torch.Generator().manual_seed(0)
    for batch, batch_events in made_ahead(query_batches(encoded, users, max_scores=max_scores)):
        ranks, shown = ranks_and_lists(
            scorer, batch, target_items(encoded, batch_events), min(EXPOSURE_SIZE, encoded.num_items), tie_breaker
        )
        ranking.update(*ranks)
        exposure.update(shown, shown_counts(batch, shown).float())
        parts.append(batch_events)
        if progress is not None:
            progress(batch.num_queries)
    events = np.concatenate(parts)
    unseen = unseen_queries(encoded.domain, events, sources) if sources else None
    query_users = encoded.domain.user_of_event[events]
    return Evaluation(recommender.name, encoded.name, ranking, exposure, events, query_users, unseen)


def target_items(encoded: EncodedDomain, events: np.ndarray) -> Tensor:
    """Return the item index of some events of the log, ``(num_queries,)`` int64: the targets of their queries."""
    return torch.from_numpy(encoded.domain.item_index[events].astype(np.int64))


def shown_counts(batch: Batch, shown: Tensor) -> Tensor:
    """Return the interactions of each shown item in the window before its query's day, ``(num_queries, k)``.

    Parameters
    ----------
    batch
        Queries against the full catalogue.
    shown
        ``(num_queries, k)`` item indices.

    Raises
    ------
    ValueError
        If the batch holds no counts, as one of training does.
    """
    if batch.counts is None:
        raise ValueError("the batch holds no interaction counts; give one against the full catalogue")
    return batch.counts[batch.slot].gather(1, shown)


def validation_score(
    recommender: Recommender,
    parts: Iterable[tuple[EncodedDomain, np.ndarray]],
    k_percent: float,
    max_queries: int,
) -> float:
    """Return the mean r-NDCG@K% over domains, the score of early stopping (appendix C.3).

    Parameters
    ----------
    recommender
        Recommender in training.
    parts
        Domains, each with its validation users.
    k_percent
        K% in percent. Where K% of the items is less than one item, K is one item.
    max_queries
        Approximate number of queries of each domain. Users are drawn at random, the same ones each time, until they
        give this many; see `random_users`.

    Raises
    ------
    InputError
        If no domain has a validation user with two events.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro import simulate
    >>> from prerec_pyro.data.encoded import encode_domain
    >>> from prerec_pyro.models.baselines import SBERT, Random
    >>> (shop,) = simulate(1, num_items=30, num_users=40, num_days=20)
    >>> encoded = encode_domain(shop.domain.with_embeddings(shop.truth.item_mean))
    >>> texts, chance = (validation_score(m, [(encoded, np.arange(40))], 10, 500) for m in (SBERT(), Random()))
    >>> texts > chance
    True
    """
    scores = []
    for encoded, users in parts:
        sample = random_users(encoded.domain, users, max_queries)
        if num_queries(encoded.domain, sample):
            percent = usable_k_percent(encoded.num_items, k_percent)
            scores.append(evaluate(recommender, encoded, sample, k_percent=percent).ranking.compute()["r_ndcg"])
    if not scores:
        raise InputError("no source domain has a validation user with two events; early stopping needs one")
    return float(np.mean(scores))


def unseen_queries(domain: Domain, events: np.ndarray, sources: Iterable[Domain]) -> np.ndarray:
    """Return a mask of the events with a user and an item that occur in no source, by raw id.

    Parameters
    ----------
    domain
        Domain of the events.
    events
        ``(num_queries,)`` positions in its log.
    sources
        Source domains.

    Returns
    -------
    numpy.ndarray
        ``(num_queries,)`` bool.
    """
    known_users: set[str] = set()
    known_items: set[str] = set()
    for source in sources:
        known_users.update(source.user_ids)
        known_items.update(source.item_ids)
    new_user = np.array([user not in known_users for user in domain.user_ids], dtype=bool)
    new_item = np.array([item not in known_items for item in domain.item_ids], dtype=bool)
    return new_user[domain.user_of_event[events]] & new_item[domain.item_index[events]]


def num_queries(domain: Domain, users: np.ndarray) -> int:
    """Return the number of queries of some user rows: all of their events except the first of each user."""
    return int(np.maximum(np.diff(domain.offsets)[users] - 1, 0).sum())


def _nan_to_none(value: Any) -> Any:
    """Return None for NaN or infinity, which JSON cannot hold, and any other value as it is."""
    return None if isinstance(value, float) and not np.isfinite(value) else value

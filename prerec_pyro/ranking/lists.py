"""From scores to lists: the contract of a recommender, the lists of users, and the table that they are returned in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, candidates_batch
from prerec_pyro.data.batching.histories import Histories
from prerec_pyro.data.batching.repeats import SeenItems, seen_items
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.ranking.approximate import Approximation
from prerec_pyro.ranking.exact import FactoredScorer, ScoreFactors, StreamingTopK, TopK
from prerec_pyro.ranking.pairs import Pairs
from prerec_pyro.ranking.top_k import top_k
from prerec_pyro.ranking.users import Users

__all__ = [
    "COLUMNS",
    "Recommender",
    "Scorer",
    "hide",
    "list_table",
    "recommendations",
    "score_histories",
    "top_k",
    "top_lists",
]

MANY_ITEMS = 1 << 16
MANY_SCORES = 1 << 25
"""Number of items, and of items × users, from which lists are made block by block; below, dense scores are as fast."""
MEASURED_USERS = 64
"""Number of users on which the recall of approximate lists is measured."""

COLUMNS = ("user_id", "item_id", "score", "rank")


class Scorer(Protocol):
    """A function from a batch over the full catalogue to scores."""

    def __call__(self, batch: Batch, /) -> Tensor:
        """Return scores, ``(num_queries, num_items)``."""
        ...


class Recommender(Protocol):
    """Anything that ranks the items of a domain: trained models and baselines alike."""

    @property
    def name(self) -> str:
        """Name of the method, as result tables print it."""
        ...

    def scorer(self, encoded: EncodedDomain) -> Scorer:
        """Return a function from a batch over the full catalogue to ``(num_queries, num_items)`` scores."""
        ...


def hide(scores: Tensor, rows: np.ndarray, items: np.ndarray) -> Tensor:
    """Return the scores with the given (row, item) pairs at -inf, changed in place.

    Examples
    --------
    >>> hide(torch.tensor([[3.0, 2.0, 1.0]]), rows=np.array([0]), items=np.array([1]))
    tensor([[3., -inf, 1.]])
    """
    scores[torch.from_numpy(rows.astype(np.int64)), torch.from_numpy(items.astype(np.int64))] = -torch.inf
    return scores


def list_table(user_ids: np.ndarray, item_ids: np.ndarray, scores: Tensor, index: Tensor) -> pd.DataFrame:
    """Return ``user_id, item_id, score, rank`` of lists from `top_k`, rank from 1; items at -inf are left out.

    Parameters
    ----------
    user_ids
        ``(num_queries,)`` id of each user.
    item_ids
        ``(num_items,)`` ids of the items of the domain.
    scores, index
        ``(num_queries, k)`` scores and item indices.

    Examples
    --------
    >>> users, items = np.array(["ann", "bob"]), np.array(["mug", "pot", "tea"])
    >>> list_table(users, items, torch.tensor([[2.0, 1.0], [0.5, -torch.inf]]), torch.tensor([[2, 0], [1, 2]]))
      user_id item_id  score  rank
    0     ann     tea    2.0     1
    1     ann     mug    1.0     2
    2     bob     pot    0.5     1
    """
    num_queries, k = index.shape
    table = pd.DataFrame(
        {
            "user_id": np.repeat(user_ids, k),
            "item_id": item_ids[index.cpu().numpy().reshape(-1)],
            "score": scores.cpu().numpy().reshape(-1),
            "rank": np.tile(np.arange(1, k + 1), num_queries),
        },
        columns=list(COLUMNS),
    )
    return table[np.isfinite(table["score"])].reset_index(drop=True)


def score_histories(
    scorer: Scorer, encoded: EncodedDomain, histories: Histories, max_scores: int = 1 << 23
) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of `histories` and their scores on the CPU, ``(num_rows, num_items)``, in bounded memory.

    `max_scores` bounds the scores of one block of rows; a block has at least one row.
    """
    size = max(1, min(max_scores // max(encoded.num_items, 1), 512))
    for begin in range(0, len(histories), size):
        rows = slice(begin, min(begin + size, len(histories)))
        history, positions = histories.padded(rows)
        slots = np.full(len(positions), histories.slot)
        yield rows, scorer(candidates_batch(encoded, history, positions, slots)).cpu()


def top_lists(
    scorer: Scorer,
    encoded: EncodedDomain,
    histories: Histories,
    k: int,
    *,
    drop_seen: bool,
    approximation: Approximation | None = None,
) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]:
    """Yield rows of `histories` with the scores and item indices of their k best items; see `top_k`.

    For many items and users the lists come from `StreamingTopK`: the same lists, in bounded memory. For many items
    and with an `approximation` they come from `ApproximateTopK`.

    Parameters
    ----------
    scorer
        Function from a batch over the full catalogue to scores.
    encoded
        The domain.
    histories
        The users and their histories.
    k
        Length of a list; at most the number of items.
    drop_seen
        Whether the items of a history are left out of its list.
    approximation
        Settings of approximate lists; None makes exact ones.
    """
    many_items = encoded.num_items >= MANY_ITEMS
    many = many_items and encoded.num_items * len(histories) >= MANY_SCORES
    if (many or (many_items and approximation is not None)) and isinstance(scorer, FactoredScorer):
        yield from streamed_lists(scorer, encoded, histories, k, drop_seen=drop_seen, approximation=approximation)
        return
    for rows, scores in score_histories(scorer, encoded, histories):
        if drop_seen:
            hide(scores, *histories.seen(rows))
        yield rows, top_k(scores, min(k, encoded.num_items))


def streamed_lists(
    scorer: FactoredScorer,
    encoded: EncodedDomain,
    histories: Histories,
    k: int,
    *,
    drop_seen: bool,
    approximation: Approximation | None = None,
) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]:
    """Yield what `top_lists` yields, in memory that grows with the items but not with items × users."""
    k = min(k, encoded.num_items)
    queries = _Queries.at(scorer, encoded, histories, drop_seen)
    lists: TopK
    if approximation is None:
        lists = StreamingTopK(queries.factors)
    else:
        users, seen, hidden = queries.of(slice(0, min(MEASURED_USERS, len(histories))))
        lists = approximation.top_k_of(queries.factors, users)
        approximation.measure_recall(queries.factors, users, k, seen, hidden)
    size = lists.block_queries(k)
    for begin in range(0, len(histories), size):
        rows = slice(begin, min(begin + size, len(histories)))
        users, seen, hidden = queries.of(rows)
        best, index = lists(users, k, seen=seen, hidden=hidden)
        yield rows, (best.cpu(), index.cpu())


@dataclasses.dataclass(frozen=True, eq=False)
class _Queries:
    """The queries of all histories at their one moment; the catalogue moves to the scorer's device only once."""

    scorer: FactoredScorer
    factors: ScoreFactors
    catalogue: Batch
    histories: Histories
    drop_seen: bool

    @classmethod
    def at(cls, scorer: FactoredScorer, encoded: EncodedDomain, histories: Histories, drop_seen: bool) -> _Queries:
        """Return the queries of some histories in their time slot."""
        history, positions = histories.padded(slice(0, 1))
        catalogue = candidates_batch(encoded, history, positions, np.array([histories.slot]))
        factors = scorer.score_factors(catalogue)
        return cls(scorer, factors, catalogue.to(factors.items.device), histories, drop_seen)

    def of(self, rows: slice) -> tuple[Users, SeenItems | None, Pairs | None]:
        """Return the users, the seen items if there is a repeat rate, and the pairs to hide."""
        history, positions = self.histories.padded(rows)
        batch = dataclasses.replace(
            self.catalogue,
            history=torch.from_numpy(history.astype(np.int64)),
            positions=torch.from_numpy(positions),
            slot=torch.zeros(len(positions), dtype=torch.int64),
        )
        seen = None if self.factors.repeat is None else seen_items(history, positions)
        hidden = self.histories.seen(rows) if self.drop_seen else None
        return self.scorer.users(batch), seen, hidden


def recommendations(
    scorer: Scorer,
    encoded: EncodedDomain,
    histories: Histories,
    k: int,
    *,
    drop_seen: bool,
    approximation: Approximation | None = None,
) -> pd.DataFrame:
    """Return `list_table` for all users of `histories`; see `top_lists` for the parameters.

    Examples
    --------
    A store with three items, two numbers for each text, and one user, whose history is the first item:

    >>> from prerec_pyro.data.batching.histories import known_users
    >>> from prerec_pyro.data.domain import Domain
    >>> from prerec_pyro.data.encoded import encode_domain
    >>> from prerec_pyro.models.baselines import SBERT
    >>> items, texts = np.array(["tea", "mug", "pot"]), np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    >>> store = encode_domain(Domain("store", items, items, np.array(["ann"]), [0, 1], [0], embeddings=texts))
    >>> users = known_users(store, users=None, at=None)
    >>> recommendations(SBERT().scorer(store), store, users, k=2, drop_seen=True)
      user_id item_id  score  rank
    0     ann     mug    0.8     1
    1     ann     pot    0.0     2
    """
    empty = list_table(np.empty(0, object), encoded.domain.item_ids, torch.empty(0, 1), torch.empty(0, 1).long())
    made = top_lists(scorer, encoded, histories, k, drop_seen=drop_seen, approximation=approximation)
    lists = [list_table(histories.user_ids[rows], encoded.domain.item_ids, *best) for rows, best in made]
    return pd.concat(lists, ignore_index=True) if lists else empty

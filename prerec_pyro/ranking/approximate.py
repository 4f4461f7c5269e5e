"""Approximate top-k over millions of items: candidates from an index get the same scores as in the exact lists.

An inverted file (faiss, the extra ``ann``) finds items with a large U·V + b and looks at few of the others. A user with
several interests is searched for around each of them: what matches one of them well is a candidate. Items that are
chosen for their background alone, popularity, need not be among them. The most popular items are therefore candidates
of every user, and the items of a history are candidates of their user. Candidates get the exact match + b. Of the
normalisers of the mixture that of b is exact. That of match + b estimates the share of the other items from a sample of
the catalogue.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from prerec_pyro.data.batching.repeats import SeenItems
from prerec_pyro.errors import InputError
from prerec_pyro.models.likelihoods.repeat_mixture import REPEAT_MATCH_WEIGHT, repeat_log_probs, unseen_logsumexp
from prerec_pyro.ranking.exact import ScoreFactors, StreamingTopK
from prerec_pyro.ranking.mixture import new_item_log_probs
from prerec_pyro.ranking.pairs import Pairs
from prerec_pyro.ranking.top_k import top_k
from prerec_pyro.ranking.users import Users

logger = logging.getLogger(__name__)

CELLS_PER_ROOT = 2
"""Cells of the index per √items: 2,000 for a million items."""
POINTS_PER_CELL = 40
"""Items per cell from which the cells are learned."""
SAMPLE = 4096
"""Sampled items that represent those that are not candidates."""
BLOCK_QUERIES = 64


class Approximation:
    """Settings of approximate lists, and the index made for them, which is kept from call to call.

    A new index is made when the items or their popularity change.

    Parameters
    ----------
    probes
        Number of cells of the index that each user looks at, of about 2 √items. Interests of a user share them.

    Attributes
    ----------
    recall
        Share of the exact lists that the approximate ones found, for the users that it was measured on; None before the
        first lists.

    Raises
    ------
    InputError
        If `probes` is less than 1.

    Examples
    --------
    >>> approximation = Approximation(probes=16)  # for model.recommend(domain, approximation=approximation)
    >>> approximation.recall is None  # until the first lists are made
    True
    """

    def __init__(self, probes: int = 64) -> None:
        if probes < 1:
            raise InputError(f"approximate lists: probes is {probes}, expected 1 or more cells")
        self.probes = probes
        self.recall: float | None = None
        self._made: tuple[tuple[float, ...], ApproximateTopK] | None = None

    def top_k_of(self, factors: ScoreFactors, users: Users) -> ApproximateTopK:
        """Return the lists of some factors, from the kept index if it fits them.

        Parameters
        ----------
        factors
            The factors of R.
        users
            Some users; their mean length balances U·V and b in a new index.
        """
        fingerprint = _fingerprint(factors)
        if self._made is None or self._made[0] != fingerprint:
            self._made, self.recall = (fingerprint, ApproximateTopK(factors, users, self.probes)), None
        return self._made[1]

    def measure_recall(
        self, factors: ScoreFactors, users: Users, k: int, seen: SeenItems | None, hidden: Pairs | None
    ) -> None:
        """Compare the lists of some users with the exact ones, once for each index; set and log `recall`."""
        if self.recall is not None:
            return
        exact = StreamingTopK(factors)(users, k, seen=seen, hidden=hidden)[1].tolist()
        found = self.top_k_of(factors, users)(users, k, seen=seen, hidden=hidden)[1].tolist()
        self.recall = float(np.mean([len(set(a) & set(b)) / k for a, b in zip(exact, found, strict=True)]))
        logger.info(
            "approximate lists, %d cells per user: %.1f %% of the exact lists found (%d users, top %d)",
            *(self.probes, 100 * self.recall, len(users), k),
        )


class ApproximateTopK:
    """The k best items of each user among candidates; called like `StreamingTopK`.

    Parameters
    ----------
    factors
        The factors of R.
    users
        Some users; their mean length balances U·V and b in the cells of the index.
    probes
        Number of cells that each user looks at.
    candidates
        Least number of items that each user gets from the index, an item near two interests counted twice, and number
        of the most popular items that every user gets.

    Raises
    ------
    InputError
        If faiss is not installed.
    """

    def __init__(self, factors: ScoreFactors, users: Users, probes: int, *, candidates: int = 200) -> None:
        self.factors, self.probes, self.candidates = factors, probes, candidates
        items = factors.items
        self.num_items = len(items)
        self.background = factors.background  # (num_items,)
        self._length = max(float(users.points().norm(dim=-1).mean()), 1e-6)
        self._index = _inverted_file(torch.cat([items, self.background[:, None] / self._length], 1), probes)
        generator = torch.Generator().manual_seed(0)
        sample = torch.randperm(self.num_items, generator=generator)[:SAMPLE]
        self._sample = sample.sort().values.to(items.device)
        self._popular = top_k(self.background[None], min(candidates, self.num_items))[1][0]
        self._background_lse = self.background.double().logsumexp(0)

    def block_queries(self, k: int) -> int:
        """Return how many users one call should have at most."""
        return BLOCK_QUERIES

    @torch.no_grad()
    def __call__(
        self, users: Users, k: int, *, seen: SeenItems | None = None, hidden: Pairs | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(num_queries, k)`` scores and item indices, best first; see `StreamingTopK`."""
        odds = self.factors.repeat_odds(seen)
        known = self._keys(None if seen is None or odds is None else (seen.rows, seen.items))
        index, is_candidate = self._gather_candidates(users, k, known)  # (num_queries, num_candidates)
        keys = torch.arange(len(users), device=index.device)[:, None] * self.num_items + index
        background = self.background[index]
        match = users.match_some(self.factors.items[index])
        scores = (match + background).masked_fill(~is_candidate, -torch.inf)
        if self.factors.is_mixture:
            is_seen = is_candidate & torch.isin(keys, known)
            scores = scores.masked_fill(is_seen, -torch.inf)
            row, item = known // self.num_items, known % self.num_items
            scores = new_item_log_probs(
                scores,
                background,
                self._normalizer(users, scores, index, is_candidate),
                unseen_logsumexp(self._background_lse, self.background[item], row, len(users)),
                repeat=odds,
                background_odds=self.factors.background_odds,
            )
            if odds is not None:
                row, column = is_seen.nonzero(as_tuple=True)  # all seen items are candidates
                logits = (REPEAT_MATCH_WEIGHT * match + background)[row, column]
                scores[row, column] = repeat_log_probs(logits, row, odds)
        scores = scores.masked_fill(~is_candidate | torch.isin(keys, self._keys(hidden)), -torch.inf)
        best, at = top_k(scores, k)
        return best, index.gather(1, at)

    def _gather_candidates(self, users: Users, k: int, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return item indices, ``(num_queries, num_candidates)``, and which of them are distinct candidates."""
        points = users.points()  # (num_queries, num_points, B)
        num_points = points.shape[1]
        query = torch.cat([points, points.new_full((*points.shape[:2], 1), self._length)], 2).flatten(0, 1)
        number = min(max(-(-self.candidates // num_points), 2 * k if num_points > 1 else 10 * k), self.num_items)
        self._index.nprobe = min(-(-self.probes // num_points), self._index.nlist)
        _, found = self._index.search(query.float().cpu().numpy(), number)  # -1 if the cells hold no more
        found = found.reshape(len(users), -1)
        seen_by_user = [known[known // self.num_items == row] % self.num_items for row in range(len(users))]
        seen = pad_sequence(seen_by_user, batch_first=True, padding_value=-1)  # (num_queries, most of a user)
        popular = self._popular.expand(len(users), -1)
        index = torch.cat([torch.from_numpy(found).to(seen), popular, seen], 1).sort(1).values
        is_candidate = index >= 0
        is_candidate[:, 1:] &= index[:, 1:] != index[:, :-1]
        return index.clamp_min(0), is_candidate

    def _normalizer(self, users: Users, scores: Tensor, index: Tensor, is_candidate: Tensor) -> Tensor:
        """Return the log of the sum of exponentials of U·V + b, ``(num_queries,)``, with a sample for the rest."""
        rest = users.match(self.factors.items[self._sample]) + self.background[self._sample]  # (num_queries, SAMPLE)
        place = torch.searchsorted(self._sample, index).clamp_max(len(self._sample) - 1)
        is_sampled = is_candidate & (self._sample[place] == index)
        excluded = torch.zeros(rest.shape, dtype=torch.bool, device=rest.device)
        rows, columns = is_sampled.nonzero(as_tuple=True)
        excluded[rows, place[rows, columns]] = True
        left = (~excluded).sum(1)
        # Number of items that each sampled one represents.
        log_weight = ((self.num_items - is_candidate.sum(1)).double() / left.clamp_min(1)).log()
        of_rest = rest.masked_fill(excluded, -torch.inf).double().logsumexp(1) + log_weight
        return torch.logaddexp(scores.double().logsumexp(1), of_rest)

    def _keys(self, pairs: Pairs | None) -> Tensor:
        """Return (row, item) pairs as one number each, ``(num_pairs,)``."""
        rows, items = (np.empty(0, np.int64),) * 2 if pairs is None else pairs
        keys = rows.astype(np.int64) * self.num_items + items.astype(np.int64)
        return torch.from_numpy(keys).to(self.background.device)


def _fingerprint(factors: ScoreFactors) -> tuple[float, ...]:
    """Return numbers that differ between factors: shape, sums, sums weighted by position, and log odds."""
    per_item = factors.items.double().sum(1), factors.background.double()
    position = torch.linspace(0.0, 1.0, len(factors.items), dtype=torch.float64, device=factors.items.device)
    sums = (float(number) for values in per_item for number in (values.sum(), values @ position))
    odds = (np.inf if value is None else value for value in (factors.repeat, factors.background_odds))
    return (*factors.items.shape, *sums, *odds)


def _inverted_file(vectors: Tensor, probes: int) -> Any:
    """Return a faiss index of ``(num_items, B + 1)`` vectors by inner product."""
    try:
        import faiss
    except ImportError:
        raise InputError(
            "approximate lists need faiss: pip install 'prerec-pyro[ann]', or use exact lists, the default"
        ) from None
    array = np.ascontiguousarray(vectors.float().cpu().numpy())
    cells = max(1, min(round(CELLS_PER_ROOT * len(array) ** 0.5), len(array) // 8))
    faiss.omp_set_num_threads(torch.get_num_threads())
    dim = array.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 6, 1, POINTS_PER_CELL
    rows = np.random.default_rng(0).permutation(len(array))[: POINTS_PER_CELL * cells]
    index.train(array[np.sort(rows)])
    index.add(array)
    index.nprobe = min(probes, cells)
    return index

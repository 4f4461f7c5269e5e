"""The k best of millions of items, nearly always: candidates from an index, scored and mixed as the exact lists are.

An inverted file (faiss, the extra ``ann``) finds items with a large U·V + b without looking at most of them. Items that
are chosen for their background alone, popularity, need not be among those, so the most popular items are candidates of
everybody, and items met before of those who met them. Candidates get the exact U·V + b. Of the normalisers of the
mixture that of b is exact; that of U·V + b takes what is no candidate from a sample of the catalogue.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from prerec_pyro.data.batching.repeats import SeenItems
from prerec_pyro.errors import InputError
from prerec_pyro.models.likelihoods.repeat_mixture import (
    REPEAT_MATCH_WEIGHT,
    repeat_log_odds,
    repeat_log_probs,
    unseen_logsumexp,
)
from prerec_pyro.ranking.exact import ScoreFactors, StreamingTopK
from prerec_pyro.ranking.top_k import top_k

logger = logging.getLogger(__name__)

CELLS_PER_ROOT = 2  # 2,048 cells of a million items
POINTS_PER_CELL = 40  # from which cells are learnt
SAMPLE = 4096  # items that stand for those that are no candidates
BLOCK_QUERIES = 64
Pairs = tuple[np.ndarray, np.ndarray] | None


class Approximation:
    """How to make approximate lists, and the index made for them, kept from call to call while the items stay.

    Attributes
    ----------
    probes
        Cells of the index that each user looks at, of about 2 √items.
    recall
        Share of the exact lists that was found, of the users that it was measured on; None before any list was made.
    """

    def __init__(self, probes: int = 64) -> None:
        if probes < 1:
            raise InputError(f"approximate lists: {probes} cells to look at, expected 1 or more")
        self.probes = probes
        self.recall: float | None = None
        self._made: tuple[tuple[float, ...], ApproximateTopK] | None = None

    def lists(self, effects: ScoreFactors, users: Tensor) -> ApproximateTopK:
        """Return the lists of some effects; `users`, some of ``(num_queries, B)``, say how long U is."""
        popularity = effects.popularity
        odds = (np.inf if value is None else value for value in (effects.again, effects.wander))
        mark = (*effects.items.shape, float(effects.items.double().sum()), *odds)
        mark += (float(popularity.double().sum()) if popularity is not None else 0.0,)
        if self._made is None or self._made[0] != mark:
            self._made, self.recall = (mark, ApproximateTopK(effects, users, self.probes)), None
        return self._made[1]

    def measure(self, effects: ScoreFactors, users: Tensor, k: int, met: SeenItems | None, hidden: Pairs) -> None:
        """Compare the lists of some users with the exact ones, once for an index, and say what was found."""
        if self.recall is not None:
            return
        exact = StreamingTopK(effects)(users, k, met=met, hidden=hidden)[1].tolist()
        found = self.lists(effects, users)(users, k, met=met, hidden=hidden)[1].tolist()
        self.recall = float(np.mean([len(set(a) & set(b)) / k for a, b in zip(exact, found, strict=True)]))
        logger.info(
            "approximate lists, %d cells each: %.1f %% of the exact ones (%d users, the %d best)",
            *(self.probes, 100 * self.recall, len(users), k),
        )


class ApproximateTopK:
    """The k best items of each user among candidates; called as `StreamingTopK` is.

    Parameters
    ----------
    effects
        What R is made of.
    users
        ``(num_queries, B)`` some users, whose mean length balances U·V and b where items are put into cells.
    probes
        Cells that each user looks at.
    candidates
        Items that each user takes from the index, at least, and that everybody takes for their popularity.

    Raises
    ------
    InputError
        If faiss is not installed.
    """

    def __init__(self, effects: ScoreFactors, users: Tensor, probes: int, *, candidates: int = 200) -> None:
        self.effects, self.candidates = effects, candidates
        items = effects.items
        self.num_items = len(items)
        zeros = items.new_zeros(self.num_items)
        self.background = zeros if effects.popularity is None else effects.popularity  # (num_items,)
        self._length = max(float(users.norm(dim=1).mean()), 1e-6)
        self._index = _inverted_file(torch.cat([items, self.background[:, None] / self._length], 1), probes)
        generator = torch.Generator().manual_seed(0)
        some = torch.randperm(self.num_items, generator=generator)[:SAMPLE]
        self._sample = some.sort().values.to(items.device)
        self._popular = top_k(self.background[None], min(candidates, self.num_items))[1][0]
        self._lse_background = self.background.double().logsumexp(0)

    def block_queries(self, k: int) -> int:
        """Return how many users are served at a time."""
        return BLOCK_QUERIES

    @torch.no_grad()
    def __call__(
        self, users: Tensor, k: int, *, met: SeenItems | None = None, hidden: Pairs = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(num_queries, k)`` scores and item indices, best first; see `StreamingTopK`."""
        met = None if self.effects.again is None else met
        known, out = self._keys(None if met is None else met[:2]), self._keys(hidden)
        index, real = self._gathered(users, k, known)  # (num_queries, num_candidates)
        rows = torch.arange(len(users), device=index.device)[:, None]
        background = self.background[index]
        match = (self.effects.items[index] @ users[..., None]).squeeze(-1)
        scores = (match + background).masked_fill(~real, -torch.inf)
        if self.effects.wander is not None or met is not None:
            is_met = real & torch.isin(rows * self.num_items + index, known)
            scores = scores.masked_fill(is_met, -torch.inf)
            odds = (
                None
                if met is None
                else repeat_log_odds(torch.from_numpy(met.counts).to(match), self.effects.again)[:, 0]
            )
            scores = self._new(scores, background, self._normaliser(users, scores, index, real), known, odds)
            if odds is not None:
                row, column = is_met.nonzero(as_tuple=True)  # all that each met are candidates
                scores[row, column] = repeat_log_probs(
                    (REPEAT_MATCH_WEIGHT * match + background)[row, column], row, odds
                )
        scores = scores.masked_fill(~real | torch.isin(rows * self.num_items + index, out), -torch.inf)
        best, at = top_k(scores, k)
        return best, index.gather(1, at)

    def _gathered(self, users: Tensor, k: int, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return each user's candidates, by item index, and whether each stands there for the first time."""
        asked = torch.cat([users, users.new_full((len(users), 1), self._length)], 1)
        number = min(max(self.candidates, 10 * k), self.num_items)
        _, found = self._index.search(asked.float().cpu().numpy(), number)  # -1 where the cells hold no more
        own = [known[known // self.num_items == row] % self.num_items for row in range(len(users))]
        own = torch.nn.utils.rnn.pad_sequence(own, batch_first=True, padding_value=-1)
        popular = self._popular.expand(len(users), -1)
        index = torch.cat([torch.from_numpy(found).to(own), popular, own], 1).sort(1).values
        real = index >= 0
        real[:, 1:] &= index[:, 1:] != index[:, :-1]
        return index.clamp_min(0), real

    def _normaliser(self, users: Tensor, scores: Tensor, index: Tensor, real: Tensor) -> Tensor:
        """Return the log of the sum of exponentials of U·V + b, ``(num_queries,)``, of the rest by its sample."""
        rest = users @ self.effects.items[self._sample].mT + self.background[self._sample]  # (num_queries, SAMPLE)
        place = torch.searchsorted(self._sample, index).clamp_max(len(self._sample) - 1)
        drawn = real & (self._sample[place] == index)
        taken = torch.zeros(rest.shape, dtype=torch.bool, device=rest.device)
        rows, columns = drawn.nonzero(as_tuple=True)
        taken[rows, place[rows, columns]] = True
        left = (~taken).sum(1)
        weight = ((self.num_items - real.sum(1)).double() / left.clamp_min(1)).log()  # items that each stands for
        of_rest = rest.masked_fill(taken, -torch.inf).double().logsumexp(1) + weight
        return torch.logaddexp(scores.double().logsumexp(1), of_rest)

    def _new(
        self, followed: Tensor, background: Tensor, normaliser: Tensor, known: Tensor, again: Tensor | None
    ) -> Tensor:
        """Return the log probability of candidates that are new to the user."""
        share = torch.zeros_like(normaliser) if again is None else logsigmoid(-again.double())
        normaliser = normaliser.nan_to_num(neginf=0.0)  # of those who met all items: no candidate is new
        if self.effects.wander is None:
            return followed - (normaliser - share)[:, None].to(followed.dtype)
        row, item = known // self.num_items, known % self.num_items
        of_background = unseen_logsumexp(self._lse_background, self.background[item], row, len(followed))
        odds = torch.tensor(self.effects.wander, dtype=torch.float64)
        return torch.logaddexp(
            followed - (normaliser - logsigmoid(-odds).to(normaliser) - share)[:, None].to(followed.dtype),
            background - (of_background - logsigmoid(odds).to(of_background) - share)[:, None].to(background.dtype),
        )

    def _keys(self, pairs: Pairs) -> Tensor:
        """Return (row, item) pairs as one number each."""
        rows, items = (np.empty(0, np.int64),) * 2 if pairs is None else pairs
        keys = rows.astype(np.int64) * self.num_items + items.astype(np.int64)
        return torch.from_numpy(keys).to(self.background.device)


def _inverted_file(vectors: Tensor, probes: int) -> Any:
    """Return a faiss index of ``(num_items, B + 1)`` vectors by inner product."""
    try:
        import faiss
    except ImportError:
        raise InputError(
            "approximate lists need faiss: pip install 'prerec-pyro[ann]', or ask for exact lists, the default"
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

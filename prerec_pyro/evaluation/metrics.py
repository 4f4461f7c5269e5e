"""Ranking metrics of one target per query, exact under ties."""

from __future__ import annotations

from decimal import ROUND_UP, Context, Decimal
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.errors import InputError

CUTOFFS = (10, 20)
_BLOCK = 1 << 22  # scores compared at a time: torch sums booleans through an int64 copy


class TargetRanks(NamedTuple):
    """Rank of each query's target; unpacks as ``above, ties``, the arguments of `RankingMetrics.update`.

    Attributes
    ----------
    above
        Items that score strictly higher, ``(num_queries,)`` int64.
    ties
        Other items with the same score, ``(num_queries,)`` int64.

    Examples
    --------
    >>> import torch
    >>> ranks = TargetRanks(above=torch.tensor([2]), ties=torch.tensor([1]))
    >>> ranks.best.item(), ranks.worst.item()
    (3, 4)
    """

    above: Tensor
    ties: Tensor

    @property
    def best(self) -> Tensor:
        """Best possible rank, ``above + 1``, ``(num_queries,)``."""
        return self.above + 1

    @property
    def worst(self) -> Tensor:
        """Worst possible rank, ``above + ties + 1``, ``(num_queries,)``."""
        return self.above + self.ties + 1


def target_ranks(scores: Tensor, targets: Tensor) -> TargetRanks:
    """Return the number of items that rank above each target, and the number that tie with it.

    Parameters
    ----------
    scores
        ``(num_queries, num_items)``, higher is better; infinities are allowed.
    targets
        Item index of each query's target, ``(num_queries,)`` int64.

    Raises
    ------
    InputError
        If a score is NaN.
    ValueError
        If the shapes do not match or a target is outside 0 … num_items - 1.

    Examples
    --------
    >>> import torch
    >>> above, ties = target_ranks(torch.tensor([[0.9, 0.5, 0.5, 0.1]]), torch.tensor([1]))
    >>> above.item(), ties.item()
    (1, 1)
    """
    if scores.ndim != 2 or targets.shape != scores.shape[:1]:
        raise ValueError(f"scores {tuple(scores.shape)} and targets {tuple(targets.shape)} do not match")
    num_queries, num_items = scores.shape
    if num_queries and not 0 <= int(targets.min()) <= int(targets.max()) < num_items:
        raise ValueError(f"targets must lie in 0 … {num_items - 1}")
    own = scores.gather(1, targets[:, None])  # (num_queries, 1)
    above = torch.zeros_like(targets)
    equal = torch.zeros_like(targets)
    unordered = torch.zeros((), dtype=torch.bool, device=scores.device)
    for block in scores.split(max(1, _BLOCK // max(1, num_queries)), dim=1):
        above += (block > own).sum(dim=1)
        equal += (block == own).sum(dim=1)
        unordered |= block.isnan().any()
    if bool(unordered):
        query = int(scores.isnan().any(dim=1).nonzero()[0])
        raise InputError(
            f"The scores of query {query} (counted from 0) hold NaN; the model has diverged: train it again "
            "with a smaller learning rate, or use an earlier checkpoint."
        )
    return TargetRanks(above, equal - 1)


def top_k_size(num_items: int, k_percent: float) -> int:
    """Return K = floor(num_items · K%), in exact decimal arithmetic.

    Raises
    ------
    InputError
        If `k_percent` is no percentage, or K is 0.

    Examples
    --------
    >>> top_k_size(4223, 0.5)
    21
    """
    if not 0 < k_percent <= 100:
        raise InputError(f"K% is {k_percent}, expected a percentage above 0 and up to 100.")
    size = int(Decimal(str(k_percent)) * num_items / 100)
    if size == 0:
        smallest = Context(prec=3, rounding=ROUND_UP).divide(Decimal(100), Decimal(max(num_items, 1)))
        raise InputError(
            f"K% = {k_percent} of {num_items} items is under one item; the smallest usable is {smallest:f}."
        )
    return size


def usable_k_percent(num_items: int, k_percent: float) -> float:
    """Return K%, raised to one item where K% of the items is less than one.

    Validation scores of small domains use it; they are not reported.

    Examples
    --------
    >>> usable_k_percent(50, 0.5), usable_k_percent(1000, 0.5)
    (2.0, 0.5)
    """
    one_item = Context(prec=12, rounding=ROUND_UP).divide(Decimal(100), Decimal(num_items))  # never rounded down
    return min(max(k_percent, float(one_item)), 100.0)


def metric_values(num_items: int, k_percent: float, a: float = 2.0) -> dict[str, Tensor]:
    """Return metric → its value at ranks 1 … num_items, each ``(num_items,)`` float64.

    r-NDCG is eq. 9, log(a) / log(a + b (rank - 1) / num_items) and 0 beyond K, with b = 6 / (K% / 100): 15000
    at 0.04 % as in the paper, and 1200 at 0.5 %, which gives the paper's rows for Online Retail.

    Parameters
    ----------
    num_items
        Size of the catalogue.
    k_percent
        K% in percent.
    a
        Base of r-NDCG.

    Raises
    ------
    InputError
        If K% of the items is less than one item.

    Examples
    --------
    >>> values = metric_values(num_items=4, k_percent=50)
    >>> values["recall"].tolist(), values["mrr"][1].item()
    ([1.0, 1.0, 0.0, 0.0], 0.5)
    """
    size = top_k_size(num_items, k_percent)
    rank = torch.arange(1, num_items + 1, dtype=torch.float64)
    b = 6.0 / (k_percent / 100.0)
    r_gain = torch.log(torch.tensor(a, dtype=torch.float64)) / torch.log(a + b * (rank - 1) / num_items)
    values = {"recall": (rank <= size).double(), "r_ndcg": torch.where(rank <= size, r_gain, 0.0)}
    for cutoff in CUTOFFS:
        values[f"recall@{cutoff}"] = (rank <= cutoff).double()
    for cutoff in CUTOFFS:
        values[f"ndcg@{cutoff}"] = torch.where(rank <= cutoff, 1.0 / torch.log2(1.0 + rank), 0.0)
    values["mrr"] = 1.0 / rank
    return values


def expected_metric(above: Tensor, ties: Tensor, values: Tensor) -> Tensor:
    """Return the mean of a metric over the ranks above + 1 … above + ties + 1, ``(num_queries,)`` float64.

    Ranking the tied items at random gives this value on average. It is not the metric at the mean rank.

    Parameters
    ----------
    above, ties
        From `target_ranks`, ``(num_queries,)`` integers.
    values
        The metric at ranks 1, 2, …, ``(num_items,)``, from `metric_values`.

    Examples
    --------
    >>> import torch
    >>> expected_metric(torch.tensor([0]), torch.tensor([1]), torch.tensor([1.0, 0.5, 0.25])).item()
    0.75
    """
    total = torch.cat([values.new_zeros(1, dtype=torch.float64), values.double().cumsum(0)])
    above, ties = above.long(), ties.long()
    return (total[above + ties + 1] - total[above]) / (ties + 1)


class RankingMetrics:
    """Ranking metrics of a domain, accumulated batch by batch.

    Parameters
    ----------
    num_items
        Candidates of every query: all items of the domain.
    k_percent
        K% in percent, such as 0.5.
    a
        Base of r-NDCG.

    Examples
    --------
    >>> import torch
    >>> metrics = RankingMetrics(num_items=4, k_percent=50)
    >>> scores = torch.tensor([[0.9, 0.5, 0.3, 0.1], [0.1, 0.2, 0.3, 0.4]])
    >>> metrics.update(*target_ranks(scores, torch.tensor([1, 0])))
    >>> metrics.per_query("recall").tolist(), metrics.compute()["recall"]
    ([1.0, 0.0], 0.5)
    """

    def __init__(self, num_items: int, k_percent: float, a: float = 2.0) -> None:
        self.num_items = num_items
        self.k_percent = k_percent
        self._values = metric_values(num_items, k_percent, a)
        self._above: list[np.ndarray] = []
        self._ties: list[np.ndarray] = []

    def update(self, above: Tensor, ties: Tensor) -> None:
        """Add a batch of queries, as ``update(*target_ranks(scores, targets))``; both are kept as int32."""
        if above.shape != ties.shape or above.ndim != 1:
            raise ValueError(f"above {tuple(above.shape)} and ties {tuple(ties.shape)} must be (num_queries,)")
        chunk = torch.stack([above, ties]).cpu().numpy()
        if chunk.size and (chunk.min() < 0 or chunk.sum(axis=0).max() >= self.num_items):
            raise ValueError(f"ranks must lie in 1 … {self.num_items}")
        self._above.append(chunk[0].astype(np.int32))
        self._ties.append(chunk[1].astype(np.int32))

    @property
    def num_queries(self) -> int:
        """Number of queries added so far."""
        return sum(map(len, self._above))

    def per_query(self, metric: str) -> np.ndarray:
        """Return one metric of each query, in the order added, ``(num_queries,)`` float64.

        Raises
        ------
        InputError
            If there is no metric of this name.
        """
        if metric not in self._values:
            raise InputError(f"Unknown metric {metric!r}; there are {', '.join(self._values)}.")
        empty = np.empty(0, dtype=np.int32)
        above = torch.from_numpy(np.concatenate([empty, *self._above]))
        ties = torch.from_numpy(np.concatenate([empty, *self._ties]))
        return expected_metric(above, ties, self._values[metric]).numpy()

    def compute(self, keep: np.ndarray | None = None) -> dict[str, float]:
        """Return the mean of every metric over the queries, and ``num_queries``.

        Parameters
        ----------
        keep
            Mask of the queries that count, ``(num_queries,)`` bool, such as the unseen ones; None counts all. Where no
            query counts, every mean is NaN.
        """
        rows = np.ones(self.num_queries, dtype=bool) if keep is None else np.asarray(keep)
        if rows.dtype != bool or rows.shape != (self.num_queries,):
            raise ValueError(f"keep must be {self.num_queries} booleans, not {rows.dtype} {rows.shape}")
        number = int(rows.sum())
        means = {
            name: float(self.per_query(name)[rows].sum() / number) if number else float("nan") for name in self._values
        }
        return {**means, "num_queries": number}

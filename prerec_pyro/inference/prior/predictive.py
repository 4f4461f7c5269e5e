"""Prior predictive checks: choices drawn from the prior compared with the choices of a log."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, catalogue_batch
from prerec_pyro.data.batching.windows import exact_windows
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.registry import Graph

PERCENTS = (1, 2, 5, 10, 20, 50, 100)
STATISTICS = {
    "top_1_percent": "share of choices on the 1 % most popular items of their day",
    "top_5_percent": "share of choices on the 5 % most popular items of their day",
    "top_20_percent": "share of choices on the 20 % most popular items of their day",
    "repeats": "share of choices of an item that is in the user's history",
    "distinct": "number of different items among the choices, divided by the number of choices",
    "heldout_rank": "median rank of the item that was chosen, divided by the number of items; 0.5 is a random guess",
    "entropy": "mean entropy of P(R), divided by the entropy of a uniform choice",
}
_MAX_SCORES = 1 << 24
_MAX_VECTORS = 1 << 27
_INTERVAL = 0.9


@dataclass(frozen=True, eq=False)
class PriorPredictive:
    """Statistics of choices drawn from the prior, and the same statistics of the log.

    Attributes
    ----------
    domain
        Name of the domain.
    num_queries
        Number of queries that each draw answers, the same for all draws.
    draws
        One row for each draw, one column for each of `STATISTICS`.
    observed
        The statistics of the log; NaN for ``heldout_rank`` and ``entropy``, which need P(R).
    curves
        ``draw, percent, share``: the share of choices that fall on that percentage of the items, the most popular
        first. The log is draw -1.

    Examples
    --------
    >>> import pandas as pd
    >>> draws = pd.DataFrame({"repeats": [0.1, 0.2, 0.3, 0.4]})
    >>> found = PriorPredictive("shop", 10, draws, pd.Series({"repeats": 0.35}), pd.DataFrame())
    >>> found.summary().loc["repeats", ["observed", "mean", "share_below"]].to_dict()
    {'observed': 0.35, 'mean': 0.25, 'share_below': 0.75}
    """

    domain: str
    num_queries: int
    draws: pd.DataFrame
    observed: pd.Series
    curves: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """Return one row for each statistic: ``observed``, and ``mean``, ``5%``, ``95%``, ``share_below`` of the draws.

        ``share_below`` is the share of draws below the observed value, plus half of those equal to it. Near 0 or 1 the
        prior all but excludes the log.
        """
        table = pd.DataFrame({"observed": self.observed, "mean": self.draws.mean()})
        for level in ((1 - _INTERVAL) / 2, (1 + _INTERVAL) / 2):
            table[f"{100 * level:.0f}%"] = self.draws.quantile(level)
        below = (self.draws < self.observed).mean() + (self.draws == self.observed).mean() / 2
        table["share_below"] = below.where(self.observed.notna())
        return table.rename_axis("statistic")

    def plot(self) -> list[Any]:
        """Return two axes: the concentration of choices on popular items, and the other statistics."""
        from prerec_pyro.plots.priors import plot_prior_predictive

        return plot_prior_predictive(self.curves, self.summary())


def prior_predictive(
    graph: Graph, encoded: EncodedDomain, *, draws: int = 100, queries: int = 500, seed: int = 0
) -> PriorPredictive:
    """Return choices drawn by running the program forward: D, S, Z, V, U, lifted weights and R; networks are fixed.

    The draws show what the model expects of a domain of which it has texts, histories and popularity, and nothing else.
    D_k and the item offsets are drawn even if the model was trained on the domain.

    Parameters
    ----------
    graph
        The model, trained or at its start.
    encoded
        The domain.
    draws
        Number of draws.
    queries
        Approximate number of queries that each draw answers. They are drawn from the log and are the same for all
        draws; there are fewer where the scores of a large catalogue would not fit in memory.
    seed
        Seed of the queries and of the draws.

    Raises
    ------
    InputError
        If a number is not positive, or the log holds no choice.
    """
    for name, value in (("draws", draws), ("queries", queries)):
        if value < 1:
            raise InputError(f"{name} is {value}, expected 1 or more")
    batch = _queries(graph, encoded, queries, seed)
    measure = ChoiceStatistics(batch)
    device = graph.f_e.linear.weight.device
    unanswered = dataclasses.replace(batch, targets=None).to(device)
    rows, curves = [], [measure.curve(measure.targets, -1)]
    was_training = graph.training
    with torch.no_grad(), torch.random.fork_rng(), pyro.validation_enabled(False):
        torch.manual_seed(seed)
        graph.eval()
        for draw in range(draws):
            choice, logits = _draw_choices(graph, unanswered)
            rows.append(measure.statistics(choice, logits))
            curves.append(measure.curve(choice, draw))
        graph.train(was_training)
    table = pd.DataFrame(rows, columns=list(STATISTICS))
    observed = pd.Series(measure.statistics(measure.targets), index=list(STATISTICS))
    return PriorPredictive(encoded.name, batch.num_queries, table, observed, pd.concat(curves, ignore_index=True))


def _draw_choices(graph: Graph, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return chosen items, ``(num_queries,)``, and log P(R), ``(num_queries, num_items)``, of one draw on the CPU."""
    site = pyro.poutine.trace(graph).get_trace(batch).nodes["R"]
    choice, fn = site["value"], site["fn"]
    if not isinstance(choice, Tensor) or not isinstance(fn, dist.Categorical):
        raise TypeError("site R: expected a sample of a Categorical")
    return choice.cpu(), fn.logits.cpu()


class ChoiceStatistics:
    """Statistics of choices at the queries of a batch against the full catalogue.

    Parameters
    ----------
    batch
        Queries with targets.

    Attributes
    ----------
    targets
        ``(num_queries,)`` items that were chosen in the log.
    """

    def __init__(self, batch: Batch) -> None:
        if batch.targets is None or batch.counts is None:
            raise ValueError("expected a batch with targets against the full catalogue")
        self.targets, self._counts, self._slot = batch.targets, batch.counts, batch.slot
        num_slots, self._num_items = self._counts.shape
        sizes = np.maximum(1, np.rint(self._num_items * np.array(PERCENTS) / 100)).astype(np.int64)
        ordered = self._counts.sort(dim=1, descending=True).values  # (num_slots, num_items)
        # Count of the last item among the top, and the share of the items with that count that are among the top.
        self._least = ordered[:, sizes - 1]  # (num_slots, len(PERCENTS))
        self._tied = torch.empty(num_slots, len(PERCENTS))
        for place, size in enumerate(sizes):
            least = self._least[:, place, None]
            above = torch.gt(self._counts, least).sum(1)
            self._tied[:, place] = (size - above) / torch.eq(self._counts, least).sum(1)
        query, candidate = batch.repeats
        self._repeats = query * self._num_items + candidate

    def shares(self, choice: Tensor) -> Tensor:
        """Return the share of choices on the top of each of `PERCENTS`, ``(len(PERCENTS),)``.

        Items that tie for the last places share them.
        """
        count, least = self._counts[self._slot, choice][:, None], self._least[self._slot]
        tied = self._tied[self._slot]  # (num_queries, len(PERCENTS))
        return torch.where(count == least, tied, (count > least).float()).mean(0)

    def curve(self, choice: Tensor, draw: int) -> pd.DataFrame:
        """Return ``draw, percent, share``, one row for each of `PERCENTS`."""
        return pd.DataFrame({"draw": draw, "percent": PERCENTS, "share": self.shares(choice).numpy()})

    def statistics(self, choice: Tensor, logits: Tensor | None = None) -> list[float]:
        """Return the values of `STATISTICS`; without log-probabilities the last two are NaN.

        Parameters
        ----------
        choice
            Items, ``(num_queries,)``.
        logits
            Log-probabilities, ``(num_queries, num_items)``.
        """
        share = dict(zip(PERCENTS, self.shares(choice).tolist(), strict=True))
        pair = torch.arange(len(choice)) * self._num_items + choice
        repeats = torch.isin(pair, self._repeats).float().mean().item()
        values = [share[1], share[5], share[20], repeats, len(choice.unique()) / len(choice)]
        if logits is None:
            return [*values, float("nan"), float("nan")]
        own = logits.gather(1, self.targets[:, None])
        above, ties = (logits > own).sum(1), (logits == own).sum(1)
        rank = (above + (ties - 1) / 2 + 0.5) / self._num_items  # (num_queries,)
        entropy = -torch.xlogy(logits.exp(), logits.exp()).sum(1).mean() / np.log(max(self._num_items, 2))
        return [*values, rank.median().item(), entropy.item()]


def _queries(graph: Graph, encoded: EncodedDomain, queries: int, seed: int) -> Batch:
    """Return a batch over the full catalogue of about so many queries, drawn from the whole log."""
    windows = exact_windows(encoded.domain.offsets, np.arange(encoded.domain.num_users))
    if not len(windows.start):
        raise InputError(f"domain {encoded.name!r}: no user has two events, so there is no choice to compare with")
    order = np.random.default_rng(seed).permutation(len(windows.start))
    most = min(queries, max(1, _MAX_SCORES // encoded.num_items))
    kept = order[: int(np.searchsorted(windows.num_queries[order].cumsum(), most)) + 1]
    while True:
        batch, _ = catalogue_batch(encoded, windows[np.sort(kept)])
        vectors = len(batch.times) * encoded.num_items * graph.config.latent_dim
        if "Z" not in graph.edges["V"] or vectors <= _MAX_VECTORS or len(kept) == 1:
            return batch
        kept = kept[: len(kept) // 2]  # under Z → V an item has one V in each slot

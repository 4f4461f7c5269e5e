"""What a model says before it has read a log: choices drawn from the prior, beside those that were made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyro
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, catalogue_batch
from prerec_pyro.data.batching.windows import exact_windows
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.registry import Graph

PERCENTS = (1, 2, 5, 10, 20, 50, 100)
STATISTICS = {
    "top_1_percent": "choices that fall on the 1 % most popular items of their day",
    "top_5_percent": "on the 5 % most popular",
    "top_20_percent": "on the 20 % most popular",
    "repeats": "choices of an item that the user has met before",
    "distinct": "different items among the choices, per choice",
    "heldout_rank": "median rank of the item that was chosen in fact, as a share of the catalogue; 0.5 is a guess",
    "entropy": "mean entropy of P(R), as a share of that of a uniform choice",
}
_MAX_SCORES = 1 << 24
_MAX_VECTORS = 1 << 27
_INTERVAL = 0.9


@dataclass(frozen=True, eq=False)
class PriorPredictive:
    """Statistics of choices drawn from the prior, and of those that were made.

    Attributes
    ----------
    domain
        Its name.
    num_queries
        Queries that each draw answers, the same for all.
    draws
        A row a draw, a column each of `STATISTICS`.
    observed
        The same of the log; NaN for the last two, of which a log has none.
    curves
        ``draw, percent, share``: the share of choices that fall on so many percent of the items, the most popular
        first. The log is draw -1.
    """

    domain: str
    num_queries: int
    draws: pd.DataFrame
    observed: pd.Series
    curves: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """Return a row a statistic: ``observed``, and of the draws ``mean``, ``5%``, ``95%`` and ``share_below``.

        ``share_below`` is the share of draws below what was observed, half of those at it: near 0 or 1, the prior all
        but excludes what happened.
        """
        table = pd.DataFrame({"observed": self.observed, "mean": self.draws.mean()})
        for level in ((1 - _INTERVAL) / 2, (1 + _INTERVAL) / 2):
            table[f"{100 * level:.0f}%"] = self.draws.quantile(level)
        below = (self.draws < self.observed).mean() + (self.draws == self.observed).mean() / 2
        table["share_below"] = below.where(self.observed.notna())
        return table.rename_axis("statistic")

    def plot(self) -> list[Any]:
        """Return two axes: how concentrated choices are on popular items, and the other statistics."""
        from prerec_pyro.plots.priors import plot_prior_predictive

        return plot_prior_predictive(self.curves, self.summary())


def prior_predictive(
    graph: Graph, encoded: EncodedDomain, *, draws: int = 100, queries: int = 500, seed: int = 0
) -> PriorPredictive:
    """Run the program forward: D, S, Z, V, U, lifted weights and R are drawn, the networks stand as they are.

    It is what the model expects of a domain of which it has the texts, the histories and the popularity, and has not
    learnt anything else: D_k and the items' offsets are drawn, whether it was trained on the domain or not.

    Parameters
    ----------
    graph
        The model, trained or at its start.
    encoded
        The domain.
    draws
        How many.
    queries
        That each draw answers, about: drawn from the log, the same for all draws, and fewer where the catalogue is so
        large that their scores would not fit in memory.
    seed
        Of the queries and of the draws.

    Raises
    ------
    InputError
        If there are no draws or queries to make.
    """
    for name, value in (("draws", draws), ("queries", queries)):
        if value < 1:
            raise InputError(f"{name} is {value}, expected 1 or more")
    batch = _queries(graph, encoded, queries, seed)
    measure = _Measure(batch)
    device = graph.f_e.linear.weight.device
    asked = dataclasses.replace(batch, targets=None).to(device)
    rows, curves = [], [measure.curve(batch.targets, -1)]
    was_training = graph.training
    with torch.no_grad(), torch.random.fork_rng(), pyro.validation_enabled(False):
        torch.manual_seed(seed)
        graph.eval()
        for draw in range(draws):
            site = pyro.poutine.trace(graph).get_trace(asked).nodes["R"]
            rows.append(measure.statistics(site["value"].cpu(), site["fn"].logits.cpu()))
            curves.append(measure.curve(site["value"].cpu(), draw))
        graph.train(was_training)
    table = pd.DataFrame(rows, columns=list(STATISTICS))
    observed = pd.Series(measure.statistics(batch.targets), index=list(STATISTICS))
    return PriorPredictive(encoded.name, batch.num_queries, table, observed, pd.concat(curves, ignore_index=True))


class _Measure:
    """Statistics of choices at the queries of a batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        num_slots, self.num_items = batch.counts.shape
        sizes = np.maximum(1, np.rint(self.num_items * np.array(PERCENTS) / 100)).astype(np.int64)
        ordered = batch.counts.sort(dim=1, descending=True).values  # (num_slots, num_items)
        self.least = ordered[:, sizes - 1]  # (num_slots, len(PERCENTS)) count of the last that is among the top
        self.tied = torch.empty(num_slots, len(PERCENTS))  # which share of those with that count is
        for place, size in enumerate(sizes):
            above = (batch.counts > self.least[:, place, None]).sum(1)
            self.tied[:, place] = (size - above) / (batch.counts == self.least[:, place, None]).sum(1)
        query, candidate = batch.repeats
        self.met = query * self.num_items + candidate

    def shares(self, choice: Tensor) -> Tensor:
        """Return the share of choices on the top of each of `PERCENTS`; items that tie for the last places share."""
        slot = self.batch.slot
        count, least = self.batch.counts[slot, choice][:, None], self.least[slot]  # (num_queries, len(PERCENTS))
        return torch.where(count == least, self.tied[slot], (count > least).float()).mean(0)

    def curve(self, choice: Tensor, draw: int) -> pd.DataFrame:
        """Return ``draw, percent, share``."""
        return pd.DataFrame({"draw": draw, "percent": PERCENTS, "share": self.shares(choice).numpy()})

    def statistics(self, choice: Tensor, logits: Tensor | None = None) -> list[float]:
        """Return `STATISTICS`, given ``(num_queries,)`` items and ``(num_queries, num_items)`` log-probabilities."""
        share = dict(zip(PERCENTS, self.shares(choice).tolist(), strict=True))
        number = torch.arange(len(choice)) * self.num_items + choice
        repeats = torch.isin(number, self.met).float().mean().item()
        found = [share[1], share[5], share[20], repeats, len(choice.unique()) / len(choice)]
        if logits is None:
            return [*found, float("nan"), float("nan")]
        own = logits.gather(1, self.batch.targets[:, None])
        above, ties = (logits > own).sum(1), (logits == own).sum(1)
        rank = (above + (ties - 1) / 2 + 0.5) / self.num_items  # (num_queries,)
        entropy = -torch.xlogy(logits.exp(), logits.exp()).sum(1).mean() / np.log(max(self.num_items, 2))
        return [*found, rank.median().item(), entropy.item()]


def _queries(graph: Graph, encoded: EncodedDomain, queries: int, seed: int) -> Batch:
    """Return a batch over the full catalogue of about so many queries, drawn from the whole log."""
    windows = exact_windows(encoded.domain.offsets, np.arange(encoded.domain.num_users))
    if not len(windows.start):
        raise InputError(f"domain {encoded.name!r}: no user with two events, so there is no choice to compare with")
    order = np.random.default_rng(seed).permutation(len(windows.start))
    most = min(queries, max(1, _MAX_SCORES // encoded.num_items))
    kept = order[: int(np.searchsorted(windows.num_queries[order].cumsum(), most)) + 1]
    while True:
        batch, _ = catalogue_batch(encoded, windows[np.sort(kept)])
        vectors = len(batch.times) * encoded.num_items * graph.config.latent_dim
        if "Z" not in graph.edges["V"] or vectors <= _MAX_VECTORS or len(kept) == 1:
            return batch
        kept = kept[: len(kept) // 2]  # an item has a V in each slot

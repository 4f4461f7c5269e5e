"""Figure 4 of the paper: distributions of the measures of popularity, domain by domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.popularity import OTHER_WINDOWS, Popularity
from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.recommenders.prerec import PreRec

MEASURES = ("count", "share", "F_1", "F_2", "score")
MAX_SLOTS = 30
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def popularity_frame(domains: Sequence[Domain], model: PreRec | None = None, *, window: int = 15) -> pd.DataFrame:
    """Return ``domain, slot, item_id`` and the `MEASURES` of the items with interactions in a window.

    ``count`` is c_j, the interactions in the window before the slot, and ``share`` its share of all interactions in the
    window. ``F_1`` and ``F_2`` are the factors of appendix E. ``score`` is Z·W_z in nats, summed over all windows of
    the graph, at the mean of Z given F and without S: the popularity term of an item's log odds in any zero-shot
    domain. Without a model there is no ``score``.

    Parameters
    ----------
    domains
        Domains to measure; up to `MAX_SLOTS` days of each, spread evenly.
    model
        A trained `PreRec`.
    window
        Days of the window; a model brings its own.

    Raises
    ------
    InputError
        If the model has no node Z, or is not trained.
    """
    if model is not None and "Z" not in model.graph.edges:
        raise InputError(f"the model is {model.name}, it has no popularity score; give a model of prerec")
    return pd.concat([_of_domain(domain, model, window) for domain in domains], ignore_index=True)


def popularity_summary(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one record per domain and measure: the number of items and slots, and quantiles over both."""
    found = []
    for domain, part in frame.groupby("domain", sort=False):
        for measure in (name for name in MEASURES if name in frame):
            quantiles = {f"q{100 * q:g}": float(part[measure].quantile(q)) for q in _QUANTILES}
            head = {"domain": domain, "measure": measure, "num_items": int(part["item_id"].nunique())}
            found.append(head | {"num_slots": int(part["slot"].nunique())} | quantiles)
    return found


def _of_domain(domain: Domain, model: PreRec | None, window: int) -> pd.DataFrame:
    """Return the rows of one domain."""
    if model is None:
        popularity = Popularity(domain.item_index, domain.days, domain.num_items, window=window)
    else:
        popularity = Popularity(
            domain.item_index, domain.days, domain.num_items, window=model.window, normalizer=model.normalizer
        )
    windows = [] if model is None else _windows_of(popularity, model)
    parts = []
    for slot in _some_slots(domain, popularity):
        counts = popularity.counts(np.arange(domain.num_items), slot)  # (num_items,)
        chosen = np.flatnonzero(counts)
        factors = popularity.factors(counts[chosen], np.full(len(chosen), slot))  # (num_chosen, 4)
        part = pd.DataFrame({"domain": domain.name, "slot": slot, "item_id": domain.item_ids[chosen]})
        part["count"], part["share"] = counts[chosen], counts[chosen] / counts.sum()
        part["F_1"], part["F_2"] = factors[:, 0], factors[:, 1]
        if model is not None:
            part["score"] = _score(popularity, windows, chosen, slot, model)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _some_slots(domain: Domain, popularity: Popularity) -> np.ndarray:
    """Return slots spread evenly over the days of the log, including the day after its end."""
    days = popularity.slots(0 if domain.days is None else domain.days)
    slots = np.unique(np.append(days, popularity.last_slot))
    slots = slots[slots > 0]  # before the first day there is no interaction
    return slots[np.unique(np.linspace(0, len(slots) - 1, min(MAX_SLOTS, len(slots))).round().astype(int))]


def _windows_of(popularity: Popularity, model: PreRec) -> list[Popularity]:
    """Return the index in each window that the graph of a model reads; the first is `popularity`."""
    return [popularity, *(popularity.with_window(days) for days in OTHER_WINDOWS[: model.graph.num_windows - 1])]


@torch.no_grad()
def _score(
    popularity: Popularity, windows: list[Popularity], chosen: np.ndarray, slot: int, model: PreRec
) -> np.ndarray:
    """Return Z·W_z, summed over the windows, of items at a slot of `popularity`, ``(num_chosen,)``."""
    graph = model.graph.eval()
    weights = model.sources.weights(graph)
    if not isinstance(graph, PaperGraph) or weights is None:
        raise InputError(f"{model.name}: the graph of this model has no node Z, so it has no popularity score")
    slots = [window.slots_of(popularity, np.full(len(chosen), slot)) for window in windows]
    factors = np.stack([w.factors(w.counts(chosen, at), at) for w, at in zip(windows, slots, strict=True)])
    level_window = torch.arange(len(windows)).repeat_interleave(len(chosen))
    Z = graph.f_pop(torch.from_numpy(factors).flatten(0, 1).to(model.device), level_window.to(model.device))
    return (Z @ weights.W_z).view(len(windows), -1).sum(0).cpu().numpy()

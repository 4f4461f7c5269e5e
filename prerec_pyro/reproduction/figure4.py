"""Figure 4 of the paper: which measure of popularity means the same in every domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.popularity import Popularity
from prerec_pyro.errors import InputError
from prerec_pyro.recommenders.prerec import PreRec

MEASURES = ("count", "share", "F_1", "F_2", "score")
MAX_SLOTS = 30
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def popularity_frame(domains: Sequence[Domain], model: PreRec | None = None, *, window: int = 15) -> pd.DataFrame:
    """Return ``domain, slot, item_id`` and each of `MEASURES` of the items that were sold in a window.

    ``count`` is c_j, interactions in the window before the slot; ``share`` that of all interactions there; ``F_1`` and
    ``F_2`` those of appendix E; ``score`` Z·W_z in nats, at the mean of Z given F and without S: what an item's
    popularity adds to its log odds in any domain that is served zero-shot. There is no ``score`` without a model.

    Parameters
    ----------
    domains
        What to look at; up to `MAX_SLOTS` days of each, spread evenly.
    model
        A trained `PreRec`.
    window
        Days; with a model its own.

    Raises
    ------
    InputError
        If the model has no node Z.
    """
    if model is not None and "Z" not in model.graph.edges:
        raise InputError(f"the model is {model.name}, it has no popularity score; give a model of prerec")
    return pd.concat([_of_domain(domain, model, window) for domain in domains], ignore_index=True)


def popularity_summary(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a plain record for each domain and measure: the number of items and slots, and quantiles over both."""
    found = []
    for domain, part in frame.groupby("domain", sort=False):
        for measure in (name for name in MEASURES if name in frame):
            quantiles = {f"q{100 * q:g}": float(part[measure].quantile(q)) for q in _QUANTILES}
            head = {"domain": domain, "measure": measure, "num_items": int(part["item_id"].nunique())}
            found.append(head | {"num_slots": int(part["slot"].nunique())} | quantiles)
    return found


def _of_domain(domain: Domain, model: PreRec | None, window: int) -> pd.DataFrame:
    how = {"window": window} if model is None else {"window": model.window, "normalizer": model.normalizer}
    popularity, parts = Popularity(domain.item_index, domain.days, domain.num_items, **how), []
    for slot in _some_slots(domain, popularity):
        counts = popularity.counts(np.arange(domain.num_items), slot)  # (num_items,)
        sold = np.flatnonzero(counts)
        factors = popularity.factors(counts[sold], np.full(len(sold), slot))  # (num_sold, 4)
        part = pd.DataFrame({"domain": domain.name, "slot": slot, "item_id": domain.item_ids[sold]})
        part["count"], part["share"] = counts[sold], counts[sold] / counts.sum()
        part["F_1"], part["F_2"] = factors[:, 0], factors[:, 1]
        if model is not None:
            part["score"] = _score(factors, model)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _some_slots(domain: Domain, popularity: Popularity) -> np.ndarray:
    """Return slots spread evenly over the days of the log, the day after its end among them."""
    days = popularity.slots(0 if domain.days is None else domain.days)
    slots = np.unique(np.append(days, popularity.last_slot))
    slots = slots[slots > 0]  # before the first day nothing was sold
    return slots[np.unique(np.linspace(0, len(slots) - 1, min(MAX_SLOTS, len(slots))).round().astype(int))]


@torch.no_grad()
def _score(factors: np.ndarray, model: PreRec) -> np.ndarray:
    graph = model.graph.eval()
    Z = graph.f_pop(torch.from_numpy(factors).to(model.device))  # (num_sold, B)
    return (Z @ model.sources.weights(graph).W_z).cpu().numpy()

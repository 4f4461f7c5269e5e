"""Descriptive statistics of a domain: the columns of Table 3 of the paper, and more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from prerec_pyro.data.domain import Domain


def describe(domain: Domain) -> dict[str, Any]:
    """Return descriptive statistics of a domain as plain JSON.

    Keys: ``name``, ``num_items``, ``num_users``, ``num_interactions``, ``num_queries`` (all events of a user but the
    first), ``time`` (``"timestamps"``, ``"order"`` or, without a log, ``"none"``), ``first_time`` and ``last_time``
    (ISO 8601, UTC, or ``None``), ``user_length_mean``, ``user_length_median`` and ``user_length_max`` (events),
    ``share_users_with_one_interaction``,
    ``share_items_without_text``, ``share_items_without_interactions``, ``density`` (distinct user–item pairs over all
    pairs), ``gini_items`` (0: all items are equally popular; near 1: one item has all interactions),
    ``has_embeddings``, ``dropped``, ``notes``, and ``table3``, the row of the paper (``#Items``, ``#Users``,
    ``#Inters``). A domain with days of listing also has ``share_items_with_first_seen``. Without a log means,
    shares of events and the Gini coefficient are 0.

    Examples
    --------
    >>> from prerec_pyro.data import Domain, describe
    >>> domain = Domain("shop", ["tea", "cup"], ["green tea", ""], ["ann", "bob"], [0, 2, 3], [0, 1, 0])
    >>> statistics = describe(domain)
    >>> statistics["num_queries"], statistics["share_items_without_text"], statistics["density"]
    (1, 0.5, 0.75)
    """
    lengths = np.diff(domain.offsets) if domain.num_users else np.zeros(1, np.int64)  # 0 events a user
    texts = pd.Series(domain.item_texts, dtype=object).str.strip()
    counts = np.bincount(domain.item_index, minlength=domain.num_items)
    pairs = np.unique(domain.user_of_event.astype(np.int64) * domain.num_items + domain.item_index)
    listed = {}
    if domain.first_seen is not None:
        listed["share_items_with_first_seen"] = float((domain.first_seen >= 0).mean())
    return {
        "name": domain.name,
        "num_items": domain.num_items,
        "num_users": domain.num_users,
        "num_interactions": domain.num_interactions,
        "num_queries": domain.num_interactions - domain.num_users,
        "time": "timestamps" if domain.has_timestamps else "order" if domain.num_interactions else "none",
        "first_time": None if domain.timestamps is None else _iso(domain.timestamps.min()),
        "last_time": None if domain.timestamps is None else _iso(domain.timestamps.max()),
        "user_length_mean": float(lengths.mean()),
        "user_length_median": float(np.median(lengths)),
        "user_length_max": int(lengths.max()),
        "share_users_with_one_interaction": float((lengths == 1).mean()),
        "share_items_without_text": float((texts == "").mean()),
        "share_items_without_interactions": float((counts == 0).mean()),
        **listed,
        "density": len(pairs) / max(domain.num_users * domain.num_items, 1),
        "gini_items": _gini(counts),
        "has_embeddings": domain.embeddings is not None,
        "dropped": dict(domain.provenance.get("dropped", {})),
        "notes": list(domain.provenance.get("notes", [])),
        "table3": {
            "#Items": domain.num_items,
            "#Users": domain.num_users,
            "#Inters": domain.num_interactions,
        },
    }


def describe_table(domains: Iterable[Domain]) -> pd.DataFrame:
    """Return one row for each domain, indexed by ``name``: `describe` without lists and nested values."""
    rows = [
        {key: value for key, value in describe(domain).items() if not isinstance(value, dict | list)}
        for domain in domains
    ]
    return pd.DataFrame(rows).set_index("name") if rows else pd.DataFrame()


def _iso(seconds: np.int64) -> str:
    return datetime.fromtimestamp(int(seconds), tz=UTC).isoformat()


def _gini(counts: np.ndarray) -> float:
    """Return the Gini coefficient of non-negative counts, in [0, 1); 0 where all are 0."""
    if not counts.any():
        return 0.0
    ordered = np.sort(counts).astype(np.float64)
    ranks = np.arange(1, len(ordered) + 1)
    return float(
        max(
            0.0,
            2 * (ranks * ordered).sum() / (len(ordered) * ordered.sum()) - (len(ordered) + 1) / len(ordered),
        )
    )

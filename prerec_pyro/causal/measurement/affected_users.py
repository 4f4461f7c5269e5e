"""Effects of an intervention on single users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from prerec_pyro.causal.measurement.alternatives import Queries, RankedLists
from prerec_pyro.data.domain import Domain

_CHUNK = 1 << 14  # queries at a time: bounds memory


def affected_users(
    domain: Domain, queries: Queries, factual: RankedLists, intervened: Sequence[RankedLists]
) -> pd.DataFrame:
    """Return one row per user, the most affected first: by least overlap, then by largest move, then by id.

    Parameters
    ----------
    domain
        Domain of the users.
    queries
        The measured queries.
    factual
        Lists without the intervention.
    intervened
        Lists under the intervention; several are averaged.

    Returns
    -------
    pandas.DataFrame
        ``user_id``, ``num_queries``, and means over the user's queries: ``overlap``, the share of the factual list that
        is in both lists; ``moved``, the factor by which the target's rank changes, up or down (geometric mean);
        ``r_ndcg`` of the factual list; ``r_ndcg_change``.
    """
    log_rank = np.log(factual.target_rank)
    gain = factual.ranking.per_query("r_ndcg")
    values = {
        "overlap": np.mean([overlap(factual.shown, lists.shown) for lists in intervened], axis=0),
        "moved": np.mean([np.abs(np.log(lists.target_rank) - log_rank) for lists in intervened], axis=0),
        "r_ndcg": gain,
        "r_ndcg_change": np.mean([lists.ranking.per_query("r_ndcg") - gain for lists in intervened], axis=0),
    }
    table = pd.DataFrame({"user_id": domain.user_ids[queries.users], **values})
    by_user = table.groupby("user_id", sort=True)
    result = by_user.mean()
    result.insert(0, "num_queries", by_user.size())
    result["moved"] = np.exp(result["moved"])
    ascending = {"overlap": True, "moved": False, "user_id": True}
    return result.reset_index().sort_values(list(ascending), ascending=list(ascending.values()), ignore_index=True)


def user_summary(users: pd.DataFrame) -> dict[str, float]:
    """Return mean overlap, its tenth percentile, and shares of users, from the rows of `affected_users`."""
    return {
        "mean_overlap": float(users["overlap"].mean()),
        "lowest_tenth_overlap": float(users["overlap"].quantile(0.1)),
        "share_unchanged": float((users["overlap"] == 1).mean()),
        "share_half_changed": float((users["overlap"] <= 0.5).mean()),
        "share_better": float((users["r_ndcg_change"] > 0).mean()),
        "share_worse": float((users["r_ndcg_change"] < 0).mean()),
    }


def overlap(lists: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the share of each list that is in the other list of the same query, ``(num_queries,)``.

    Parameters
    ----------
    lists, others
        ``(num_queries, k)`` item indices.
    """
    parts = [
        (lists[begin : begin + _CHUNK, :, None] == others[begin : begin + _CHUNK, None, :]).any(axis=2).mean(axis=1)
        for begin in range(0, len(lists), _CHUNK)
    ]
    return np.concatenate(parts)

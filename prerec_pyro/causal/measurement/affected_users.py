"""What an intervention does to single users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from prerec_pyro.causal.measurement.answers import Lists, Queries
from prerec_pyro.data.domain import Domain

_CHUNK = 1 << 14  # queries at a time


def affected_users(domain: Domain, queries: Queries, factual: Lists, answer: Sequence[Lists]) -> pd.DataFrame:
    """Return a row a user, the most affected first: least overlap, then most moved, then by id.

    Parameters
    ----------
    domain
        Whose users they are.
    queries
        What was asked.
    factual
        How things are.
    answer
        Under the intervention; several are averaged.

    Returns
    -------
    pandas.DataFrame
        ``user_id``, ``num_queries``; means over the user's queries of ``overlap``, the share of the list that is in
        both, of ``moved``, by what factor the target's rank changes, up or down (their geometric mean), of ``r_ndcg``
        as things are, and of ``r_ndcg_change``.
    """
    rank = np.log(factual.target_rank)
    gain = factual.ranking.per_query("r_ndcg")
    values = {
        "overlap": np.mean([overlap(factual.shown, lists.shown) for lists in answer], axis=0),
        "moved": np.mean([np.abs(np.log(lists.target_rank) - rank) for lists in answer], axis=0),
        "r_ndcg": gain,
        "r_ndcg_change": np.mean([lists.ranking.per_query("r_ndcg") - gain for lists in answer], axis=0),
    }
    table = pd.DataFrame({"user_id": domain.user_ids[queries.users], **values})
    found = table.groupby("user_id", sort=True)
    result = found.mean()
    result.insert(0, "num_queries", found.size())
    result["moved"] = np.exp(result["moved"])
    order = {"overlap": True, "moved": False, "user_id": True}
    return result.reset_index().sort_values(list(order), ascending=list(order.values()), ignore_index=True)


def user_summary(users: pd.DataFrame) -> dict[str, float]:
    """Return how single users fare, of the rows of `affected_users`: mean overlap, and shares of users."""
    return {
        "mean_overlap": float(users["overlap"].mean()),
        "lowest_tenth_overlap": float(users["overlap"].quantile(0.1)),
        "share_unchanged": float((users["overlap"] == 1).mean()),
        "share_half_changed": float((users["overlap"] <= 0.5).mean()),
        "share_better": float((users["r_ndcg_change"] > 0).mean()),
        "share_worse": float((users["r_ndcg_change"] < 0).mean()),
    }


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the share of each list of `one`, ``(num_queries, k)``, that is in the list of `other`."""
    parts = [
        (one[begin : begin + _CHUNK, :, None] == other[begin : begin + _CHUNK, None, :]).any(axis=2).mean(axis=1)
        for begin in range(0, len(one), _CHUNK)
    ]
    return np.concatenate(parts)

"""The first interactions of a market: what fine-tuning on N samples may see (incremental fine-tuning, appendix A.2)."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError


def first_samples(
    domain: Domain, users: np.ndarray, num_samples: int | None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the users that give `num_samples` queries, and how many of each one's first events count.

    Users come in a random order, a function of their ids and `seed` alone, and each brings the whole sequence; that
    of the last is cut, so that the number is met exactly. The order does not depend on the number: the first 10
    samples are among the first 100.

    Parameters
    ----------
    domain
        Where.
    users
        ``(n,)`` user rows, those of the training split say.
    num_samples
        Queries, which are events that follow another of the same user. None, or more than there are, takes all.
    seed
        Of the order of users; that of training.

    Returns
    -------
    tuple
        ``(m,)`` user rows, sorted, each with a query or more, and ``(m,)`` int64 numbers of events, 2 or more.

    Raises
    ------
    InputError
        If `num_samples` is less than 1.
    """
    if num_samples is not None and num_samples < 1:
        raise InputError(f"{num_samples} training samples: expected 1 or more; a model without any is used as it is")
    users = np.asarray(users, dtype=np.int64)
    events = np.diff(domain.offsets)[users]
    users, events = users[events > 1], events[events > 1]
    order = _lots(domain.user_ids[users], seed)
    before = np.cumsum(events[order] - 1) - (events[order] - 1)  # queries of those who come earlier
    left = np.inf if num_samples is None else num_samples - before
    queries = np.minimum(events[order] - 1, left).astype(np.int64)
    kept = order[queries > 0]
    lengths = queries[queries > 0] + 1
    by_row = np.argsort(users[kept])
    return users[kept][by_row], lengths[by_row]


def _lots(user_ids: np.ndarray, seed: int) -> np.ndarray:
    """Return the order of users by a hash of their ids, of another key than that which splits them."""
    key = hashlib.blake2b(f"samples {int(seed)}".encode(), digest_size=8).hexdigest()
    hashes = pd.util.hash_array(user_ids, hash_key=key)
    ranked = pd.DataFrame({"hash": hashes, "id": user_ids}).sort_values(["hash", "id"])
    return ranked.index.to_numpy(dtype=np.int64)

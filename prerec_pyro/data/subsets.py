"""Parts of a domain's users: the first N training samples (appendix A.2), and a random part with about N queries."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError


def first_samples(
    domain: Domain, users: np.ndarray, num_samples: int | None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the users that give `num_samples` queries, and the number of first events that count for each user.

    Users come in a random order, which depends only on their ids and on `seed`. Each user contributes the whole
    sequence; the sequence of the last user is cut so that the number is exact. The order does not depend on
    `num_samples`: the first 10 samples are among the first 100.

    Parameters
    ----------
    domain
        The domain of the users.
    users
        ``(n,)`` user rows, for example those of the training split.
    num_samples
        Number of queries; a query is an event that follows another event of the same user. None, or more than there
        are, takes all.
    seed
        Seed of the order of users; usually the seed of the training.

    Returns
    -------
    tuple
        ``(m,)`` sorted user rows, each with at least one query, and ``(m,)`` int64 numbers of events, at least 2.

    Raises
    ------
    InputError
        If `num_samples` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro.data import Domain, first_samples
    >>> domain = Domain("shop", ["tea"], ["green tea"], ["ann", "bob", "cy"], [0, 3, 4, 8], [0] * 8)
    >>> first_samples(domain, np.arange(3), num_samples=None)
    (array([0, 2]), array([3, 4]))
    >>> first_samples(domain, np.arange(3), num_samples=4)
    (array([0, 2]), array([3, 3]))
    """
    if num_samples is not None and num_samples < 1:
        raise InputError(f"{num_samples} training samples: expected 1 or more; without any, use the model as it is")
    users = np.asarray(users, dtype=np.int64)
    events = np.diff(domain.offsets)[users]
    users, events = users[events > 1], events[events > 1]
    order = _random_order(domain.user_ids[users], seed)
    before = np.cumsum(events[order] - 1) - (events[order] - 1)  # queries of earlier users
    left = np.inf if num_samples is None else num_samples - before
    queries = np.minimum(events[order] - 1, left).astype(np.int64)
    kept = order[queries > 0]
    lengths = queries[queries > 0] + 1
    by_row = np.argsort(users[kept])
    return users[kept][by_row], lengths[by_row]


def random_users(domain: Domain, users: np.ndarray, num_queries: int, *, seed: int | Sequence[int] = 0) -> np.ndarray:
    """Return user rows, sorted, drawn at random until they give `num_queries` queries; all where they give fewer.

    The first users of a domain are no random sample: they are often the earliest.

    Parameters
    ----------
    domain
        The domain of the users.
    users
        ``(n,)`` user rows to draw from.
    num_queries
        Number of queries that the last drawn user reaches or passes.
    seed
        Seed of the draw; the same users in the same order give the same draw.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro.data import Domain
    >>> domain = Domain("shop", ["tea"], ["green tea"], ["ann", "bob", "cy"], [0, 3, 4, 8], [0] * 8)
    >>> random_users(domain, np.arange(3), 3), random_users(domain, np.arange(3), 100)
    (array([2]), array([0, 1, 2]))
    """
    drawn = np.random.default_rng(seed).permutation(users)
    queries = np.maximum(np.diff(domain.offsets)[drawn] - 1, 0).cumsum()
    return np.sort(drawn[: int(np.searchsorted(queries, num_queries)) + 1])


def _random_order(user_ids: np.ndarray, seed: int) -> np.ndarray:
    """Return the order of the users by a hash of their ids; the key of the hash differs from that of `split_users`."""
    key = hashlib.blake2b(f"samples {int(seed)}".encode(), digest_size=8).hexdigest()
    hashes = pd.util.hash_array(user_ids, hash_key=key)
    ranked = pd.DataFrame({"hash": hashes, "id": user_ids}).sort_values(["hash", "id"])
    return ranked.index.to_numpy(dtype=np.int64)

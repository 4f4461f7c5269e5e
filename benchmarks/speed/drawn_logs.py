"""Logs of any size for the benchmarks: skewed popularity, many short users and a few long ones, texts as vectors."""

from __future__ import annotations

import numpy as np

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.times import SECONDS_PER_DAY

FIRST_DAY, DAYS = 16_000, 5 * 365


def lengths_of(num_users: int, num_interactions: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``(num_users,)`` events of each user, at least one; what is left falls to users in skewed shares."""
    share = rng.pareto(1.5, num_users) + 1e-3
    more = rng.multinomial(num_interactions - num_users, share / share.sum())
    return 1 + more


def draw_items(num_items: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``(size,)`` int32 items, the r-th most popular in proportion to 1 / (r + 10)."""
    reach = np.cumsum(1.0 / (np.arange(num_items) + 10.0))
    rank = np.searchsorted(reach, rng.random(size) * reach[-1])
    return rng.permutation(num_items).astype(np.int32)[rank]


def draw_domain(
    name: str, num_items: int, num_users: int, num_interactions: int, *, seed: int = 0, text_dim: int = 384
) -> Domain:
    """Return a domain of that size over five years, with item embeddings of length one."""
    rng = np.random.default_rng([seed, num_items, num_users])
    offsets = np.concatenate([[0], lengths_of(num_users, num_interactions, rng).cumsum()])
    user = np.repeat(np.arange(num_users), np.diff(offsets))
    seconds = rng.integers(FIRST_DAY * SECONDS_PER_DAY, (FIRST_DAY + DAYS) * SECONDS_PER_DAY, num_interactions)
    texts = rng.standard_normal((num_items, text_dim), dtype=np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    return Domain(
        name=name,
        item_ids=np.array([f"{name}-i{j}" for j in range(num_items)], dtype=object),
        item_texts=np.full(num_items, "", dtype=object),
        user_ids=np.array([f"{name}-u{u}" for u in range(num_users)], dtype=object),
        offsets=offsets,
        item_index=draw_items(num_items, num_interactions, rng),
        timestamps=seconds[np.lexsort((seconds, user))],
        embeddings=texts,
    )

"""Domains drawn from the program itself, whose D, networks and texts are known."""

from __future__ import annotations

import numpy as np
import pyro
import torch

from prerec_pyro.data.batching.batch import candidates_batch
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.inference.guides.map_guide import noncentered
from prerec_pyro.models.graphs.registry import Graph


def draw_texts(num_domains: int, num_items: int, dim: int) -> list[np.ndarray]:
    """X of the items of each domain, ``(num_items, dim)``, of length one on average."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(num_items, dim)).astype(np.float32) / dim**0.5 for _ in range(num_domains)]


def domain_of(events: np.ndarray, texts: np.ndarray, number: int) -> EncodedDomain:
    """Users' items ``(num_users, length)`` as a domain without times."""
    num_items = len(texts)
    domain = Domain(
        name=f"drawn-{number}",
        item_ids=[f"i{row}" for row in range(num_items)],
        item_texts=[""] * num_items,
        user_ids=[f"u{row}" for row in range(len(events))],
        offsets=np.arange(len(events) + 1) * events.shape[1],
        item_index=events.reshape(-1),
        embeddings=texts,
    )
    return encode_domain(domain)


def draw_domain(
    graph: Graph, D: torch.Tensor, texts: np.ndarray, number: int, *, num_users: int, length: int
) -> EncodedDomain:
    """Let users choose item by item: the program samples R given D and what each has chosen so far."""
    rng = np.random.default_rng(number)
    events = rng.integers(0, len(texts), (num_users, 1))
    program = pyro.poutine.condition(pyro.poutine.reparam(graph, config=noncentered({"D"})), data={"D": D})
    for step in range(1, length):
        encoded = domain_of(events, texts, number)
        ends = np.arange(num_users) * step + step - 1
        batch = candidates_batch(encoded, events, ends, np.ones(num_users, np.int64), domain=number)
        with torch.no_grad():
            chosen = program(batch)  # (num_users,)
        events = np.concatenate([events, chosen.numpy()[:, None]], axis=1)
    return domain_of(events, texts, number)

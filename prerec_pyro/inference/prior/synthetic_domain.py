"""Synthetic domains drawn from the program itself, given D, S and weights that are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import candidates_batch
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.inference.posterior.program import DomainProgram
from prerec_pyro.models.graphs.registry import Graph

WINDOW = 15  # days of the popularity index
_FIRST_DAY = 18_000


def draw_latents(graph: Graph) -> dict[str, Tensor]:
    """Return D (1, B), S (1, num_effects) and lifted weights (B,) drawn from their prior with PyTorch's global seed."""
    with torch.no_grad():
        return {site: value.detach() for site, value in DomainProgram(graph, {}, torch.float64).latents().items()}


@torch.no_grad()
def draw_domain(
    graph: Graph,
    latents: Mapping[str, Tensor],
    texts: np.ndarray,
    *,
    num_users: int,
    num_days: int,
    seed: int,
    name: str = "drawn",
) -> tuple[EncodedDomain, float]:
    """Return the domain, and log P(choices | latents) in nats at the time of the draw.

    On the first day each user chooses an item at random. On each later day the program draws one, given the user's
    history and the popularity of the days before. An inference on the domain is therefore given all that the draw was
    given.

    Parameters
    ----------
    graph
        The networks.
    latents
        Latents from `draw_latents`, or any others of the same shapes.
    texts
        X, ``(num_items, text_dim)``.
    num_users
        Number of users.
    num_days
        Number of choices of each user, the random one included.
    seed
        Seed of first items and choices.
    name
        Name of the domain.
    """
    torch.manual_seed(seed)
    program = DomainProgram(graph, latents, torch.float64)
    events = np.random.default_rng(seed).integers(0, len(texts), (num_users, 1))
    total = 0.0
    for day in range(1, num_days):
        encoded = _domain(events, texts, name)
        ends = np.arange(num_users) * day + day - 1
        slots = np.full(num_users, encoded.popularity.slots(np.array(_FIRST_DAY + day)))
        batch = program.ready(candidates_batch(encoded, events, ends, slots))
        choice = program.choice({}, batch)
        chosen = choice.sample()  # (num_users,)
        total += float(choice.log_prob(chosen).sum())
        events = np.concatenate([events, chosen.numpy()[:, None]], axis=1)
    return _domain(events, texts, name), total


def _domain(events: np.ndarray, texts: np.ndarray, name: str) -> EncodedDomain:
    """Return the domain of some choices, ``(num_users, num_days)`` item indices, one a day."""
    num_users, num_days = events.shape
    days = np.tile(_FIRST_DAY + np.arange(num_days), num_users)
    domain = Domain(
        name=name,
        item_ids=np.array([f"i{row}" for row in range(len(texts))], dtype=object),
        item_texts=np.array([""] * len(texts), dtype=object),
        user_ids=np.array([f"u{row}" for row in range(num_users)], dtype=object),
        offsets=np.arange(num_users + 1) * num_days,
        item_index=events.reshape(-1),
        timestamps=days * SECONDS_PER_DAY,
        embeddings=texts,
    )
    return encode_domain(domain, window=WINDOW)

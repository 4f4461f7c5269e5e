"""A domain drawn from the program itself: who chose what, given D, S and weights that are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import candidates_batch
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.inference.posterior.program import DomainProgram
from prerec_pyro.models.graphs.registry import Graph

SECONDS_A_DAY = 86_400
WINDOW = 15  # days, of the popularity index


def draw_latents(graph: Graph) -> dict[str, Tensor]:
    """Return D (1, B), S (1, 4) and lifted weights (B,) drawn from their prior; the seed is PyTorch's."""
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
    """Return the domain, and log P(choices | latents) as it was when they were drawn.

    On the first day each user takes an item at random; on each later day one that the program draws, given the user's
    history and the popularity of the days before. So what is given to an inference is all that the draw was given.

    Parameters
    ----------
    graph
        The networks.
    latents
        From `draw_latents`, or of the caller's choice.
    texts
        X, ``(num_items, text_dim)``.
    num_users, num_days
        Users, and choices of each, the first one included.
    seed
        Of first items and choices.
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


_FIRST_DAY = 18_000


def _domain(events: np.ndarray, texts: np.ndarray, name: str) -> EncodedDomain:
    """Users' items, ``(num_users, num_days)``, one a day."""
    num_users, num_days = events.shape
    days = np.tile(_FIRST_DAY + np.arange(num_days), num_users)
    domain = Domain(
        name=name,
        item_ids=np.array([f"i{row}" for row in range(len(texts))], dtype=object),
        item_texts=np.array([""] * len(texts), dtype=object),
        user_ids=np.array([f"u{row}" for row in range(num_users)], dtype=object),
        offsets=np.arange(num_users + 1) * num_days,
        item_index=events.reshape(-1),
        timestamps=days * SECONDS_A_DAY,
        embeddings=texts,
    )
    return encode_domain(domain, window=WINDOW)

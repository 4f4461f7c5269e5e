"""Tiny domains, graphs and batches that the tests share. Their embeddings are given, so no text encoder is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.batching.training_batches import draw_negatives, training_batch
from prerec_pyro.data.batching.windows import Windows, exact_windows
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.models.graphs.registry import GRAPHS, Graph, GraphClass
from prerec_pyro.models.priors import Normal, Priors

LENGTHS = (9, 1, 5, 2, 7, 3, 1, 6, 4, 8)
WIDE = Priors(D=Normal(1.0), Z=Normal(0.5), V=Normal(0.3), U=Normal(0.3))
"""Priors so wide that every node makes a difference that a test can see."""


def make_domain(
    name: str = "shop",
    *,
    lengths: Sequence[int] = LENGTHS,
    num_items: int = 12,
    sold: int | None = None,
    num_days: int = 40,
    text_dim: int = 6,
    timed: bool = True,
    seed: int = 0,
) -> Domain:
    """Return a random domain whose user ``u`` has ``lengths[u]`` events, all with the first `sold` items.

    The log is the same for any `num_items` with the same `sold`. Embeddings have unit length.
    """
    rng = np.random.default_rng(seed)
    total = sum(lengths)
    item_index = rng.integers(0, num_items if sold is None else sold, total)
    times = [np.sort(rng.integers(0, num_days * SECONDS_PER_DAY, length)) for length in lengths]
    embeddings = rng.standard_normal((num_items, text_dim))
    return Domain(
        name=name,
        item_ids=np.array([f"i{j}" for j in range(num_items)], dtype=object),
        item_texts=np.array([f"text {j}" for j in range(num_items)], dtype=object),
        user_ids=np.array([f"u{u}" for u in range(len(lengths))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        item_index=item_index,
        timestamps=15_000 * SECONDS_PER_DAY + np.concatenate(times) if timed else None,
        embeddings=embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
    )


def make_encoded(name: str = "shop", *, window: int = 15, **options: object) -> EncodedDomain:
    """Return a `make_domain`, ready for a recommender."""
    return encode_domain(make_domain(name, **options), window=window)


def all_windows(encoded: EncodedDomain) -> Windows:
    """Return exact windows over all users; with at most 65 events a user, each is a user's whole sequence."""
    return exact_windows(encoded.domain.offsets, np.arange(encoded.domain.num_users))


def make_batch(
    encoded: EncodedDomain,
    windows: Windows | None = None,
    *,
    num_negatives: int = 7,
    domain: int = 0,
    first_row: int = 0,
    seed: int | np.random.Generator = 0,
) -> Batch:
    """Return a training batch of some windows, or of the whole domain."""
    everything = all_windows(encoded)
    return training_batch(
        encoded,
        everything if windows is None else windows,
        domain=domain,
        first_row=first_row,
        num_queries=int(everything.num_queries.sum()),
        drawn=draw_negatives(encoded.num_items, num_negatives, np.random.default_rng(seed)),
    )


def as_double(batch: Batch) -> Batch:
    """Return the batch with its numbers in double precision, so that a test can ask for equality to 1e-9."""
    numbers = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    doubled = {k: v.double() for k, v in numbers.items() if isinstance(v, Tensor) and v.is_floating_point()}
    covariates = {name: value.double() for name, value in batch.covariates.items()}
    return dataclasses.replace(batch, **doubled, covariates=covariates)


def make_graph(
    graph: str | GraphClass = "extended",
    *,
    seed: int = 0,
    num_domains: int = 2,
    priors: Priors = WIDE,
    **config: object,
) -> Graph:
    """Return a small graph in double precision, in evaluation mode, no parameter of which is at its special start."""
    kind = GRAPHS[graph] if isinstance(graph, str) else graph
    torch.manual_seed(seed)
    shape = {"latent_dim": 8, "num_layers": 1, "dropout": 0.0, "history_dropout": 0.0}
    made = kind(kind.Config(**(shape | config)), num_domains=num_domains, text_dim=6, priors=priors)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return made.double().eval()


def run(graph: Any, batch: Batch, **values: Tensor) -> dict[str, Any]:
    """Sites of one run of the graph, with some values given and log densities computed."""
    program = pyro.poutine.condition(graph, data=values)
    with torch.no_grad():
        trace = pyro.poutine.trace(program).get_trace(batch)
        trace.compute_log_prob()
    return dict(trace.nodes)

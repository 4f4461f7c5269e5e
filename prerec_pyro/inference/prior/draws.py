"""Draws from the priors of D and S, by Monte Carlo or quasi-Monte Carlo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import pyro.distributions as dist
import torch
from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.registry import Graph

Sampling = Literal["auto", "monte-carlo", "sobol"]


def prior_draws(
    graph: Graph,
    num_draws: int,
    *,
    nodes: Iterable[str] = ("D",),
    sampling: Sampling = "auto",
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return draws from the priors of D and S, site → ``(num_draws, B)`` or ``(num_draws, num_effects)``.

    Parameters
    ----------
    graph
        The model.
    num_draws
        Number of draws; powers of two suit Sobol points best.
    nodes
        Some of D and S; nodes that the model lacks are left out.
    sampling
        ``"monte-carlo"``, or ``"sobol"``: scrambled Sobol points through the inverse of the distribution function,
        which Normal and Laplace have. ``"auto"`` uses Sobol points for each prior that has the inverse. An average over
        32 Sobol points was several times closer to the integral than one over 32 random draws
        (benchmarks/ranking/back_door.py).
    seed
        Seed of the draws; the same seed gives the same draws.

    Raises
    ------
    InputError
        If an argument is out of range, the model has none of the nodes, or `sampling` needs an inverse that a prior
        lacks.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro import PreRec, TrainConfig
    >>> from prerec_pyro.data.simulation.simulate import simulate
    >>> (shop,) = simulate(1, num_items=20, num_users=20, num_days=10)
    >>> domain = shop.domain.with_embeddings(np.random.default_rng(0).normal(size=(20, 8)))
    >>> model = PreRec(training=TrainConfig(epochs=1), device="cpu").fit([domain])
    >>> prior_draws(model.graph, 4)["D"].shape
    torch.Size([4, 256])
    """
    if num_draws < 1:
        raise InputError(f"num_draws is {num_draws}, expected 1 or more")
    if sampling not in ("auto", "monte-carlo", "sobol"):
        raise InputError(f"sampling {sampling!r}: expected 'auto', 'monte-carlo' or 'sobol'")
    widths = graph.domain_widths
    if unknown := set(nodes) - {"D", "S"}:
        raise InputError(f"prior draws of {', '.join(sorted(unknown))}: expected some of D, S")
    requested = [node for node in widths if node in set(nodes)]
    if not requested:
        has = ", ".join(widths) or "none"
        raise InputError(f"prior draws of {', '.join(sorted(nodes))}: of D and S the graph of this model has {has}")
    total = sum(widths[node] for node in requested)
    points = None if sampling == "monte-carlo" else _sobol_points(num_draws, total, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        means = {node: torch.zeros(num_draws, widths[node]) for node in requested}
        return _draw(graph, means, points, only_sobol=sampling == "sobol")


def _draw(graph: Graph, means: Mapping[str, Tensor], points: Tensor | None, *, only_sobol: bool) -> dict[str, Tensor]:
    """Return a draw from the prior around each mean: quantiles at the points where there are any, else random draws.

    Parameters
    ----------
    graph
        The model.
    means
        Node → prior mean, ``(num_draws, width)``.
    points
        Points in the unit cube, ``(num_draws, total width)``, or None.
    only_sobol
        Whether random draws are refused.
    """
    draws, begin = {}, 0
    for node, mean in means.items():
        prior = getattr(graph.priors, node)(mean)
        end = begin + mean.shape[1]
        quantiles = None if points is None else _quantiles(prior, points[:, begin:end])
        if quantiles is None and only_sobol:
            raise InputError(
                f"sampling 'sobol': the prior of {node} has no inverse of its distribution function; use 'monte-carlo'"
            )
        draws[node] = prior.sample() if quantiles is None else quantiles
        begin = end
    return draws


def _sobol_points(num_draws: int, width: int, seed: int) -> Tensor:
    """Return points inside the unit cube, ``(num_draws, width)`` float64, none on its faces."""
    if width > torch.quasirandom.SobolEngine.MAXDIM:
        raise InputError(
            f"sampling 'sobol' supports at most {torch.quasirandom.SobolEngine.MAXDIM} dimensions, not {width}"
        )
    points = torch.quasirandom.SobolEngine(width, scramble=True, seed=seed).draw(num_draws, dtype=torch.float64)
    return points.clamp(1e-9, 1 - 1e-9)


def _quantiles(prior: dist.TorchDistribution, points: Tensor) -> Tensor | None:
    """Return the quantiles of the prior at some points, or None if the prior lacks an inverse."""
    base = prior.base_dist if hasattr(prior, "base_dist") else prior
    try:
        return base.icdf(points.float().clamp(1e-6, 1 - 1e-6))
    except NotImplementedError:
        return None

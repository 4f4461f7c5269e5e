"""Nodes that all queries share: D of the domains, and the weights W_d and W_z, parameters or random variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pyro
import torch
from torch import Tensor, nn

from prerec_pyro.models.graphs.plates import domain_plate
from prerec_pyro.models.priors import WEIGHTS, Prior, Priors, hypers, sample_node, sample_shared


class Weights(NamedTuple):
    """W_d and W_z, ``(B,)``, or ``(..., 1, B)`` where several values are tried at once."""

    W_d: Tensor
    W_z: Tensor


class DomainNodes(NamedTuple):
    """Nodes of one domain: D, ``(..., B)``, and S in nats, ``(..., 1, num_effects)``, or None."""

    D: Tensor
    S: Tensor | None = None


def register_weights(graph: nn.Module, priors: Priors, dim: int) -> None:
    """Make parameters of the weights that have no prior; the others are sites of the program."""
    for name in WEIGHTS:
        if name not in priors.lifted:
            graph.register_parameter(name, nn.Parameter(torch.zeros(dim)))


def sample_weights(graph: nn.Module, priors: Priors, zero: Tensor, num_domains: int) -> Weights:
    """Return W_d and W_z, sampled where they are lifted to random variables.

    They belong to all domains, so each domain's log density holds an equal share of their prior. Training weighs the
    log density of domain k by p_k / n_k, with p_k its share of the batches and n_k its queries (`per_query`), so the
    prior counts once at the mean of these weights. Where batches are drawn in proportion to n_k, all weights are equal
    and the sum is the joint log density over all queries. Where all domains have the same share, the prior counts once
    against ``num_domains`` times the harmonic mean of the sizes (Kish's effective sample size).

    Parameters
    ----------
    graph
        Holds the weights that are parameters.
    priors
        Names those that are lifted.
    zero
        ``(B,)`` the prior mean.
    num_domains
        Number of domains.
    """

    def weight(name: str) -> Tensor:
        if name not in priors.lifted:
            return graph.get_parameter(name)
        prior: Prior = getattr(priors, name)
        return sample_node(name, prior, zero, sample_shared(name, prior, zero))

    with pyro.poutine.scale(scale=1.0 / num_domains):
        return Weights(*(weight(name) for name in WEIGHTS))


def sample_domain_nodes(priors: Priors, zeros: Mapping[str, Tensor], domain: int) -> DomainNodes:
    """Sample D, and S where there is one, of all domains around 0; return those of one domain.

    Parameters
    ----------
    priors
        Prior of each node.
    zeros
        Node → its prior mean, ``(num_domains, width)``.
    domain
        Row of the domain that the batch belongs to; only its prior counts.
    """
    num_domains, device = len(zeros["D"]), zeros["D"].device
    with pyro.poutine.scale(scale=1.0 / num_domains):  # a random scale belongs to all domains, as the weights do
        shared = {node: sample_shared(node, getattr(priors, node), zero) for node, zero in zeros.items()}
    with domain_plate(num_domains, domain, device):
        values = {node: sample_node(node, getattr(priors, node), zero, shared[node]) for node, zero in zeros.items()}
    return DomainNodes(**{node: value[..., domain, :] for node, value in values.items()})


def hyper_sites(priors: Priors, locs: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return node → sites of the random settings of its prior, such as ``D_scale`` → where inference starts."""
    found = {node: hypers(getattr(priors, node), zero) for node, zero in locs.items()}
    return {node: {f"{node}_{name}": h.start for name, h in of.items()} for node, of in found.items() if of}


def dot(X: Tensor, W: Tensor) -> Tensor:
    """Return X·W, ``(..., rows)``, given ``(..., rows, B)`` and a weight; in full precision."""
    with torch.autocast(X.device.type, enabled=False):  # small, and compared between all items
        return X @ W if W.ndim == 1 else (X * W).sum(-1)

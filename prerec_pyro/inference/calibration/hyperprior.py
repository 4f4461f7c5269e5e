"""Hyperprior of S for the next domain, learnt from the domains that were trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from prerec_pyro.models.graphs.extended import ExtendedGraph

PRIOR_DOMAINS = 3.0
"""Number of domains that the standard deviation before any was seen counts for."""


@torch.no_grad()
def fit_hyperprior(graph: ExtendedGraph, S: Tensor, W_z: Tensor) -> Tensor:
    """Make S = 0 the source domains' mean, and ``spread`` how they differ; return S in the new units.

    The mean moves into the parameters that S modifies, so no trained domain's scores change, only what a new domain is
    taken to be like. The spread is shrunk to its value before any domain was seen, as if that were three domains.

    Parameters
    ----------
    graph
        Changed: length of U, the mixture's w_r, w_o and ``spread``, and how interests fade and are kept apart.
    S
        ``(num_domains, num_effects)`` of the sources.
    W_z
        Changed: the parameter, or the MAP of the node.
    """
    spread = graph.likelihood.spread
    nats = S * spread  # (num_domains, num_effects)
    mean = nats.mean(dim=0)
    absorb(graph, mean, W_z)
    nats = nats - mean
    squares = nats.square().sum(dim=0) + PRIOR_DOMAINS * spread**2
    spread.copy_((squares / (len(nats) + PRIOR_DOMAINS)).sqrt())
    return nats / spread


@torch.no_grad()
def absorb(graph: ExtendedGraph, nats: Tensor, W_z: Tensor) -> None:
    """Change the parameters, and W_z wherever it is kept: S = 0 then means what S·spread = `nats` did.

    Parameters
    ----------
    graph
        Changed; see `fit_hyperprior`.
    nats
        ``(num_effects,)``.
    W_z
        Changed: the parameter, or the MAP of the node.
    """
    graph.f_seq.log_length.add_(nats[0])
    W_z *= nats[1].exp()
    graph.likelihood.w_r += nats[2]
    graph.likelihood.w_o += nats[3]
    if graph.interests is not None:
        graph.interests.log_fading.add_(nats[4])
        graph.interests.log_contrast.add_(nats[5])

"""The prior of S for the next domain, learnt from the domains that were trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from prerec_pyro.models.graphs.paper import PreRecGraph

HYPERPRIOR_PSEUDO_DOMAINS = 3.0


@torch.no_grad()
def fit_hyperprior(graph: PreRecGraph, S: Tensor, W_z: Tensor) -> Tensor:
    """Make S = 0 stand for the source domains' mean, and ``spread`` for how they differ; return S in the new units.

    The mean is moved into the parameters that S modifies, so no trained domain's scores change: only what a new domain
    is taken to be like. The spread is shrunk to the one before any domain was seen, as if by three.

    Parameters
    ----------
    graph
        Changed: length of U, w_r, w_o, ``spread``.
    S
        ``(num_domains, 4)``, that of the sources.
    W_z
        Changed: the parameter, or the MAP of the node.
    """
    nats = S * graph.spread  # (num_domains, 4)
    mean = nats.mean(dim=0)
    absorb(graph, mean, W_z)
    nats = nats - mean
    squares = nats.square().sum(dim=0) + HYPERPRIOR_PSEUDO_DOMAINS * graph.spread**2
    graph.spread.copy_((squares / (len(nats) + HYPERPRIOR_PSEUDO_DOMAINS)).sqrt())
    return nats / graph.spread


@torch.no_grad()
def absorb(graph: PreRecGraph, nats: Tensor, W_z: Tensor) -> None:
    """Change the parameters, and W_z wherever it is kept: S = 0 then means what S·spread = `nats`, ``(4,)``, did."""
    graph.f_seq.log_length += nats[0]
    W_z *= nats[1].exp()
    if graph.config.repeats:
        graph.w_r += nats[2]
    if graph.config.wandering:
        graph.w_o += nats[3]

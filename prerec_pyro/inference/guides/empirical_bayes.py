"""A Gaussian guide for nodes whose prior has a random scale: a point could not tell how wide they spread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pyro
import torch
from pyro.infer.autoguide import AutoNormal
from pyro.infer.autoguide.initialization import init_to_value
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.graphs.plates import only_rows


class GaussianGuide(AutoNormal):
    """`AutoNormal` for one node, as many nats a query as the graph counts it: ``q = Normal(locs, scales)``.

    Were the node and the scale of its prior both points, their density would grow without bound as the scale goes to
    0 and the node to its mean (in other coordinates, as the scale goes to infinity), whatever the data. Given a
    Gaussian for the node, what is maximised over the scale is a bound on the evidence, which has its maximum where the
    node's values, and what is not known of them, are as wide as the prior: empirical Bayes. Where the likelihood is
    Gaussian and its coordinates do not interact the bound is exact.

    Parameters
    ----------
    model
        The program.
    node
        ``"D"``, or a weight.
    num_domains
        Rows of D.
    start, spread
        Where it starts: mean, and standard deviation, of which the median is taken.
    """

    def __init__(self, model: Callable, node: str, num_domains: int, start: Tensor, spread: Tensor) -> None:
        exposed = pyro.poutine.block(model, expose=[node])
        finite = spread[torch.isfinite(spread)]
        scale = float(finite.median()) if len(finite) else 1.0
        super().__init__(exposed, init_loc_fn=init_to_value(values={node: start}), init_scale=scale)
        self.node = node
        self.num_domains = num_domains

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``{node: value}``, a draw."""
        with pyro.poutine.scale(scale=1.0 / batch.num_domain_queries), self._counted(batch):
            return super().forward(batch)

    def _counted(self, batch: Batch) -> AbstractContextManager:
        """Count what the graph counts: the batch's own row of D, a domain's share of a weight."""
        if self.node != "D":
            return pyro.poutine.scale(scale=1.0 / self.num_domains)
        rows = torch.arange(self.num_domains, device=batch.items.device)
        return only_rows(rows == batch.domain)

    def values(self) -> dict[str, Tensor]:
        """Return the mean of the node, or nothing before the first call."""
        return {} if self.prototype_trace is None else {self.node: getattr(self.locs, self.node).detach()}

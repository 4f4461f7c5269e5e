"""The ELBO of the MAP guide as an objective of the training loop."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyro
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoGuideList
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.inference.guides.delta import PointMass
from prerec_pyro.inference.guides.map_guide import NonCenteredModel, trained_nodes
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.models.priors import Prior, center, hypers
from prerec_pyro.training.trainer import Source, TrainConfig, Trainer, offset_scale, optimizers

logger = logging.getLogger(__name__)


class PathwiseELBO(Trace_ELBO):
    """`Trace_ELBO` of guides whose draws are differentiable, as points and Gaussians are.

    The value and the gradient are the same. Without score functions to look for, a step neither evaluates the density
    of plates and points nor waits for the device to say what a site's density was.
    """

    def _get_trace(
        self, model: Callable, guide: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[pyro.poutine.Trace, pyro.poutine.Trace]:
        of_guide = pyro.poutine.trace(guide).get_trace(*args, **kwargs)
        return pyro.poutine.trace(pyro.poutine.replay(model, trace=of_guide)).get_trace(*args, **kwargs), of_guide

    def differentiable_loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """Return minus the ELBO, a scalar on the device: the mean over particles of log q - log p."""
        traces = self._get_traces(model, guide, args, kwargs)
        losses = [q.log_prob_sum(_has_density) - p.log_prob_sum(_has_density) for p, q in traces]
        return sum(losses) / len(losses)


def _has_density(_: str, site: Mapping[str, Any]) -> bool:
    return not (isinstance(site["fn"], PointMass) or site_is_subsample(site))


def map_trainer(
    program: NonCenteredModel,
    guide: AutoGuideList,
    sources: list[Source],
    config: TrainConfig,
    device: torch.device | str = "cpu",
) -> Trainer:
    """Return the loop that maximises the ELBO of a guide: ``PathwiseELBO()(program, guide)`` is an ordinary module.

    Parameters
    ----------
    program, guide
        The model in its non-centred form, and the guide over its free nodes.
    sources, config, device
        Of the `Trainer`.
    """
    elbo, first = PathwiseELBO()(program, guide).to(device), sources[0].first_batch(config)
    with torch.no_grad(), pyro.validation_enabled(True):  # the guide gets its parameters in its first call
        Trace_ELBO()(program, guide)(first.to(device))  # the first call checks the two against each other
    elbo.to(device)
    queries = max(source.num_queries for source in sources)
    rates = config.for_queries(queries)
    for name in ("learning_rate", "text_rate", "item_rate", "popularity_rate"):
        if getattr(rates, name) < getattr(config, name):
            asked, taken = getattr(config, name), getattr(rates, name)
            logger.info("%s is %.2g, not %g: no domain has more than %s training queries", name, taken, asked, queries)
    groups = optimizers(program, guide, rates)
    return Trainer(elbo, groups, sources, config, device, peak=lambda batch: log_peak(program.graph, guide, batch))


def log_peak(graph: Graph, guide: AutoGuideList, batch: Batch) -> float:
    """Return the log density of the free nodes at their means, per query: a constant that would blur the loss."""
    zero, free, total = torch.zeros(1, graph.config.latent_dim), trained_nodes(guide), 0.0
    if "D" in free:
        total += _peak(graph.priors.D, zero, graph.num_domains)
    if "S" in free:
        none = torch.zeros(1, graph.domain_widths["S"])
        total += float(graph.priors.S(none).log_prob(none))
    for name in graph.lifted:
        total += _peak(getattr(graph.priors, name), zero[0], 1) / graph.num_domains
    if "V_decentered" in free:  # decentred: the same family at scale 1
        one = float(graph.priors.V(zero).log_prob(zero)) + graph.config.latent_dim * math.log(offset_scale(graph))
        total += batch.num_domain_items * one
    return total / batch.num_domain_queries


def _peak(prior: Prior, loc: torch.Tensor, num_domains: int) -> float:
    """Return the log density of a node at its mean and of random settings where they start."""
    fn = prior(loc)
    total = float(fn.log_prob(center(fn)).sum())
    for hyper in hypers(prior, loc).values():
        total += float(hyper.fn.log_prob(hyper.start).sum()) / (num_domains if hyper.shared else 1)
    return total

"""The ELBO of a guide as an objective of the training loop, with its optimisers."""

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
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.inference.guides.delta import PointMass
from prerec_pyro.inference.guides.map_guide import ItemOffsets, NonCenteredModel, trained_nodes
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.models.priors import WEIGHTS, Prior, center, hypers
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.recipes import TrainConfig
from prerec_pyro.training.trainer import Trainer

logger = logging.getLogger(__name__)


class PathwiseELBO(Trace_ELBO):
    """`Trace_ELBO` for guides with differentiable draws, such as points and Gaussians.

    Value and gradient are those of `Trace_ELBO`. There is no score function to look for, so a step neither evaluates
    the density of plates and points nor waits for the device.
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


def _has_density(_: str, site: Any) -> bool:
    """Return whether a site of a trace has a density that is not constant."""
    return not (isinstance(site["fn"], PointMass) or site_is_subsample(site))


def map_trainer(
    program: NonCenteredModel,
    guide: AutoGuideList,
    sources: list[Source],
    config: TrainConfig,
    device: torch.device | str = "cpu",
) -> Trainer:
    """Return the loop that maximises the ELBO of a guide, ``PathwiseELBO()(program, guide)``.

    Parameters
    ----------
    program, guide
        The model in its non-centred form, and the guide over its free nodes.
    sources, config, device
        As in `Trainer`. The rates are scaled for the queries that there are; see `TrainConfig.for_queries`.
    """
    elbo, first = PathwiseELBO()(program, guide).to(device), sources[0].first_batch(config)
    with torch.no_grad(), pyro.validation_enabled(True):  # the guide gets its parameters in its first call
        Trace_ELBO()(program, guide)(first.to(device))  # the first call checks the two against each other
    elbo.to(device)
    queries = max(source.num_queries for source in sources)
    scaled = config.for_queries(queries)
    for name, rate, full in (
        ("learning_rate", scaled.learning_rate, config.learning_rate),
        ("text_rate", scaled.text_rate, config.text_rate),
        ("item_rate", scaled.item_rate, config.item_rate),
        ("popularity_rate", scaled.recipe.popularity_rate, config.recipe.popularity_rate),
    ):
        if rate < full:
            logger.info("%s is %.2g, not %g: no domain has more than %s training queries", name, rate, full, queries)
    groups = optimizers(program, guide, scaled)
    return Trainer(elbo, groups, sources, config, device, peak=lambda batch: log_peak(program.graph, guide, batch))


def log_peak(graph: Graph, guide: AutoGuideList, batch: Batch) -> float:
    """Return the log density of the free nodes at their means, in nats per query: a constant part of the loss."""
    zero, free, total = torch.zeros(1, graph.config.latent_dim), trained_nodes(guide), 0.0
    if "D" in free:
        total += _peak(graph.priors.D, zero, graph.num_domains)
    if "S" in free:
        none = torch.zeros(1, graph.domain_widths["S"])
        total += float(graph.priors.S(none).log_prob(none))
    for name in graph.lifted:
        total += _peak(getattr(graph.priors, name), zero[0], 1) / graph.num_domains
    if "V_decentered" in free:  # non-centred: the same family at scale 1
        one = float(graph.priors.V(zero).log_prob(zero)) + graph.config.latent_dim * math.log(offset_scale(graph))
        total += batch.num_domain_items * one
    return total / batch.num_domain_queries


def _peak(prior: Prior, loc: torch.Tensor, num_domains: int) -> float:
    """Return the log density of a node at its mean, and of random settings at their start."""
    fn = prior(loc)
    total = float(fn.log_prob(center(fn)).sum())
    for hyper in hypers(prior, loc).values():
        total += float(hyper.fn.log_prob(hyper.start).sum()) / (num_domains if hyper.shared else 1)
    return total


def optimizers(program: NonCenteredModel, guide: AutoGuideList, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return Adam over the dense parameters, one group a rate, and SparseAdam over the item offsets if V is free.

    Parameters
    ----------
    program, guide
        The model and its guide, after the guide's first call.
    config
        Rates, as they are to be used; see `TrainConfig.for_queries`.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in program.graph.named_parameters():
        groups.setdefault(graph_rate(name, config), []).append(parameter)
    rows: list[nn.Parameter] = []
    for part in guide:
        if isinstance(part, ItemOffsets):
            rows += part.parameters()
        else:
            for name, parameter in part.named_parameters():
                groups.setdefault(_node_rate(name, config), []).append(parameter)
    dense = torch.optim.Adam(
        [{"params": params, "lr": rate, "initial_lr": rate} for rate, params in groups.items()], fused=True
    )
    if not rows:
        return [dense]
    # The table holds V_decentered: a step of `rate` there moves V by rate · scale.
    rate = config.item_rate / offset_scale(program.graph)
    return [dense, torch.optim.SparseAdam([{"params": rows, "lr": rate, "initial_lr": rate}])]


def graph_rate(name: str, config: TrainConfig) -> float:
    """Return the rate of a parameter of a graph, given its name in ``named_parameters()``.

    A name that no rule knows is a parameter that a graph of one's own adds. It gets the popularity rate: nothing is
    known of it before training, and the rate of f_seq is slow on purpose.
    """
    rates = {
        "f_seq": config.learning_rate,
        "f_item": config.learning_rate,
        "f_e": config.text_rate,
        "likelihood.w_h": config.recipe.repeat_rate,
    }
    return next(
        (rate for part, rate in rates.items() if f"{name}.".startswith(f"{part}.")), config.recipe.popularity_rate
    )


def _node_rate(name: str, config: TrainConfig) -> float:
    """Return the rate of a parameter of the guide, given the name that Pyro makes of its site."""
    node = name.removeprefix("locs.").removesuffix("_unconstrained")
    rates = {"D": config.recipe.domain_rate, "S": config.recipe.effect_scale_rate}
    rates |= dict.fromkeys(WEIGHTS, config.recipe.popularity_rate)
    return rates.get(node, config.recipe.scale_rate)


def offset_scale(graph: Graph) -> float:
    """Return the scale of V around its mean: one unit of V_decentered in units of V."""
    fn = graph.priors.V(torch.zeros(1, 2))
    base = fn.base_dist if hasattr(fn, "base_dist") else fn
    return float(base.scale.flatten()[0])

"""The graph as a Pyro program of one domain's low-dimensional latents; networks and items are fixed at their MAP."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import pyro
import pyro.distributions as dist
import torch
from pyro.contrib.autoname import scope
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult
from torch import Tensor, nn
from torch.distributions.transforms import AffineTransform

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.inference.calibration.prediction import PredictedPrior
from prerec_pyro.inference.guides.delta import PointMass
from prerec_pyro.inference.guides.map_guide import fixed_hyperpriors, noncentered
from prerec_pyro.inference.posterior.traces import choice_distribution, log_prob_sum, site_value
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.models.networks import TextEncoder

Values = Mapping[str, Tensor]
DOMAIN_NODES = ("D", "S")
"""Nodes with one row for each domain."""
_NONCENTERED, _UNIT = "_decentered", "_unit"


class LatentProgram(Protocol):
    """A Pyro program without arguments that samples its latents in units of its own; `DomainProgram` is one.

    Attributes
    ----------
    sites
        Names of the latents.
    units
        Site → its zero point and the length of its unit.
    """

    sites: tuple[str, ...]
    units: dict[str, tuple[Tensor, Tensor]]

    def __call__(self) -> dict[str, Tensor]:
        """Return the latents by site, and score the data given them."""
        ...

    def latents(self) -> dict[str, Tensor]:
        """Sample the latents from their prior, in `units`; return them by site."""
        ...

    def start(self, values: Values) -> dict[str, Tensor]:
        """Return the values in `units` that correspond to some latents, under the site names that guides use."""
        ...


def latent_sites(graph: Graph) -> tuple[str, ...]:
    """Return the names of the low-dimensional latents of a graph: D, S and the lifted weights, where it has them."""
    return (*graph.domain_widths, *graph.lifted)


class DomainProgram(nn.Module):
    """P(choices, latents) of one domain as a Pyro program without arguments, in nats of the whole log (eq. 4).

    The program is the graph under handlers. The graph gets a single domain. Its latents are exposed, V is conditioned
    on its MAP, and U and Z are fixed at the means that their networks predict. The graph's scale of 1/num_queries is
    undone. The latents are measured in `units`, so that one step size serves all of them.

    The choices are those of some batches, each counted `weight` times, plus a linear term. If the linear term holds the
    gradient over the whole log at an anchor, the density equals that of the whole log to first order around the anchor,
    and the batches estimate its curvature (Bardenet, Doucet and Holmes 2017, section 7.1; Baker et al. 2019).

    Parameters
    ----------
    graph
        The trained model; it is copied and not changed.
    known
        MAP of nodes that are not latents here: ``V_decentered`` (num_items, B), ``D`` (1, B), ``S`` (1, num_effects),
        ``W_z`` and ``W_d`` (B,), and random scales of priors such as ``D_scale`` (). A random scale that is missing is
        fixed at the value where inference starts.
    dtype
        Precision of all arithmetic.
    prior_S
        Prior of S of a new store, from `prior_of_store`; None is the prior between domains, that of the graph.

    Attributes
    ----------
    sites
        Names of the latents: those of D, S and the lifted weights that the graph has and `known` lacks.
    batches, weight, anchor, slope
        The evidence of the density; see `observe`.
    units
        Site → its zero point and the length of its unit. They start at location and scale of the prior, where the
        prior has both.
    """

    def __init__(
        self,
        graph: Graph,
        known: Values,
        dtype: torch.dtype = torch.float32,
        prior_S: PredictedPrior | None = None,
    ) -> None:
        super().__init__()
        text_dim = graph.f_e.linear.in_features
        priors = graph.priors if prior_S is None else dataclasses.replace(graph.priors, S=prior_S)
        self.graph = type(graph)(graph.config, num_domains=1, text_dim=text_dim, priors=priors)
        self.graph.load_state_dict(graph.state_dict())
        self.graph.to(graph.f_e.linear.weight.device).to(dtype).eval()
        self.f_e = self.graph.f_e
        self.graph.f_e = _EncodedTexts(self.f_e)
        for parameter in self.graph.parameters():
            parameter.requires_grad_(False)
        self.known = {name: value.to(dtype) for name, value in known.items()}
        self.sites = tuple(site for site in latent_sites(graph) if site not in known)
        self.dtype = dtype
        self.batches: Sequence[Batch] = ()
        self.weight = 1.0
        self.anchor: Values = {}
        self.slope: Values = {}
        self.units = {site: self._prior_units(site) for site in self.sites}

    def ready(self, batch: Batch) -> Batch:
        """Return a batch for this program: f_e(X) in place of X, and the only row of D."""
        texts, factors = self.f_e(batch.texts.to(self.dtype)), batch.factors.to(self.dtype)
        covariates = {name: value.to(self.dtype) for name, value in batch.covariates.items()}
        return dataclasses.replace(batch, domain=0, texts=texts, factors=factors, covariates=covariates)

    def observe(self, batches: Sequence[Batch], weight: float, anchor: Values, slope: Values) -> None:
        """Replace the choices that the density is evaluated on.

        Parameters
        ----------
        batches
            Batches from `ready`.
        weight
            Number of queries of the log that each query of the batches represents.
        anchor, slope
            Site → the point where the linear term is 0, and the gradient of that term. Both are empty for no term.
        """
        self.batches, self.weight, self.anchor, self.slope = batches, weight, anchor, slope

    def forward(self) -> dict[str, Tensor]:
        """Return the latents by site, ``D`` (1, B), ``S`` (1, num_effects), …, and score the choices given them."""
        values = self.latents()
        for number, batch in enumerate(self.batches):
            scale = pyro.poutine.scale(scale=self.weight * batch.num_domain_queries)
            with scope(prefix=f"batch_{number}"), scale:
                self._run_graph(values, batch)
        if self.slope:
            terms = ((self.slope[site] * (values[site] - self.anchor[site])).sum() for site in self.sites)
            pyro.factor("rest_of_the_log", sum(terms, start=torch.zeros((), dtype=self.dtype, device=self.device)))
        return values

    def latents(self) -> dict[str, Tensor]:
        """Sample the latents from their prior, in `units`; return them by site."""
        config = {node: handler for node, handler in noncentered(self._free()).items() if node not in self.sites}
        config |= fixed_hyperpriors(self.graph) | {site: AffineReparam(*self.units[site]) for site in self.sites}
        with (
            pyro.poutine.trace() as recorded,
            pyro.poutine.block(hide_fn=self._is_no_latent),
            pyro.poutine.condition(data=self.known),
            pyro.poutine.reparam(config=config),
        ):
            self.graph.weights()
            self.graph.domain(0)
        return {site: site_value(recorded.trace, site) for site in self.sites}

    def choice(self, values: Values, batch: Batch) -> dist.Categorical:
        """Return P(R | latents) of the queries of a batch, ``(num_queries,)`` over the items."""
        with pyro.poutine.trace() as recorded:
            self._run_graph(values, batch)
        return choice_distribution(recorded.trace, "R")

    def log_likelihood(self, values: Values, batch: Batch) -> Tensor:
        """Return log P(R | latents) of the targets of a batch in nats, ``(num_queries,)``, each counted once."""
        return self.choice(values, batch).log_prob(batch.targets)

    def gradient(self, values: Values, batches: Iterable[Batch]) -> tuple[float, dict[str, Tensor], int]:
        """Return the log-likelihood of all queries of some batches, its gradient by site, and the number of queries."""
        leaves = {site: values[site].detach().clone().requires_grad_(True) for site in self.sites}
        total, count = 0.0, 0
        slope = {site: torch.zeros_like(leaf) for site, leaf in leaves.items()}
        for batch in batches:
            value = self.log_likelihood(leaves, batch).double().sum()
            for site, part in zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True):
                slope[site] += part
            total, count = total + value.item(), count + batch.num_queries
        return total, slope, count

    @torch.no_grad()
    def log_prior(self, values: Values) -> float:
        """Return the log density of the prior at some latents, in `units`."""
        conditioned = pyro.poutine.condition(self.latents, data=self.start(values))
        return float(log_prob_sum(pyro.poutine.trace(conditioned).get_trace()))

    def start(self, values: Values) -> dict[str, Tensor]:
        """Return the values in `units` that correspond to some latents, under the site names that guides use."""
        return {site + _UNIT: (values[site] - zero) / one for site, (zero, one) in self.units.items()}

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        return self.f_e.linear.weight.device

    def _run_graph(self, values: Values, batch: Batch) -> None:
        """Run the graph on a batch with all nodes but R given."""
        config = noncentered(self._free()) | fixed_hyperpriors(self.graph)
        data = {**self._known_rows(batch), **values}
        program = pyro.poutine.condition(pyro.poutine.reparam(self.graph, config=config), data=data)
        pyro.poutine.block(program, expose=["R"])(batch)

    def _known_rows(self, batch: Batch) -> Values:
        """Return the known nodes of a batch; under Z → V an item has one row of V in each time slot."""
        row = self.graph.layout.index(batch)
        if row is None:
            return self.known
        return {name: value[row] if name.startswith("V") else value for name, value in self.known.items()}

    def _free(self) -> set[str]:
        """Return the nodes that have a value of their own: latents and known nodes."""
        return {*self.sites, *(name.removesuffix(_NONCENTERED) for name in self.known)}

    def _prior_units(self, site: str) -> tuple[Tensor, Tensor]:
        """Return location and scale of the prior of a site, or 0 and 1 if it lacks one of them."""
        dim = self.graph.domain_widths.get(site, self.graph.config.latent_dim)
        zero = torch.zeros((1, dim) if site in DOMAIN_NODES else dim, dtype=self.dtype, device=self.device)
        prior = getattr(self.graph.priors, site)
        if isinstance(prior, PredictedPrior):
            loc, scale = _location_and_scale(prior.between(zero), zero)
            return prior.mean.to(zero) + prior.std.to(zero) * loc, prior.std.to(zero) * scale
        return _location_and_scale(prior(zero), zero)

    def _is_no_latent(self, msg: Mapping[str, Any]) -> bool:
        return msg["type"] == "sample" and msg["name"].removesuffix(_UNIT) not in self.sites


def _location_and_scale(fn: dist.TorchDistribution, zero: Tensor) -> tuple[Tensor, Tensor]:
    """Return location and scale of a distribution, of the shape of `zero`; 0 and 1 if it lacks one of them."""
    base = fn.base_dist if hasattr(fn, "base_dist") else fn
    if {"loc", "scale"} <= set(base.arg_constraints):
        return base.loc.expand(zero.shape), base.scale.expand(zero.shape)
    return zero, torch.ones_like(zero)


class AffineReparam(Reparam):
    """Reparameterisation that samples a site in other units: the site is zero + one · ``<name>_unit``.

    It is `LocScaleReparam` for any prior and any units. The prior of the site does not change.

    Parameters
    ----------
    zero, one
        Zero point and unit length, both with the shape of the site's value; `one` is positive.
    """

    def __init__(self, zero: Tensor, one: Tensor) -> None:
        self.zero, self.one = zero, one

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Return the site as a point mass at a function of the new site, which is sampled here."""
        fn = msg["fn"]
        if not isinstance(fn, TorchDistributionMixin):
            raise TypeError(f"site {msg['name']}: expected a distribution, got {type(fn).__name__}")
        to_unit = AffineTransform(self.zero, self.one, event_dim=fn.event_dim).inv
        unit = pyro.sample(msg["name"] + _UNIT, dist.TransformedDistribution(fn, [to_unit]))
        value = self.zero + self.one * unit
        return {"fn": PointMass(value, fn.event_dim), "value": value, "is_observed": True}


class _EncodedTexts(TextEncoder):
    """Stand-in for f_e that takes texts which f_e has encoded already."""

    def __init__(self, f_e: TextEncoder) -> None:
        nn.Module.__init__(self)  # draws no random numbers, unlike the constructor of `TextEncoder`
        self.linear = f_e.linear

    def forward(self, texts: Tensor) -> Tensor:
        return texts

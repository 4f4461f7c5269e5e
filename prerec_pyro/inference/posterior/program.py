"""The graph as a program of one domain's low-dimensional latents: the networks and the items stand at their MAP."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.contrib.autoname import scope
from pyro.infer.reparam.reparam import Reparam
from torch import Tensor, nn
from torch.distributions.transforms import AffineTransform

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.inference.guides.delta import point_mass
from prerec_pyro.inference.guides.map_guide import fixed_hyperpriors, noncentered
from prerec_pyro.models.graphs.registry import Graph

Values = Mapping[str, Tensor]
OF_DOMAIN = ("D", "S")
_DECENTRED, _UNIT = "_decentered", "_unit"


def latent_sites(graph: Graph) -> tuple[str, ...]:
    """Return the low-dimensional latents that a graph has, of D, S and the lifted weights."""
    return (*graph.domain_widths, *graph.lifted)


class DomainProgram(nn.Module):
    """P(choices, latents) of one domain as a Pyro program without arguments, in nats of the whole log (eq. 4).

    It is the graph under handlers: a graph of one domain, its latents exposed, V conditioned on its MAP, U and Z at
    the means that their networks predict, and the scale 1/num_queries of the graph undone. The latents are measured in
    `units`, so that one step size serves all.

    The choices are those of some batches, each counted `weight` times, plus a linear term: with the gradient over the
    whole log at an anchor in it, the density is that of the whole log to first order around the anchor, and its
    curvature is estimated from the batches (Bardenet, Doucet and Holmes 2017, section 7.1; Baker et al. 2019).

    Parameters
    ----------
    graph
        The trained model; it stays as it is.
    known
        MAP of what is not a latent here, of what has one: ``V_decentered`` (num_items, B), ``D`` (1, B), ``S`` (1, 4),
        ``W_z`` and ``W_d`` (B,), random scales of priors such as ``D_scale`` (), which otherwise stand at their start.
    dtype
        Of all arithmetic.

    Attributes
    ----------
    sites
        Names of the latents: D, S and the lifted weights, of those there are and that are not known.
    batches, weight, anchor, slope
        What the density reads; see `observe`.
    units
        Site → where its zero is, and how long its unit; at first those of the prior, where it has them.
    """

    def __init__(self, graph: Graph, known: Values, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        text_dim = graph.f_e.linear.in_features
        self.graph = type(graph)(graph.config, num_domains=1, text_dim=text_dim, priors=graph.priors)
        self.graph.load_state_dict(graph.state_dict())
        self.graph.to(graph.f_e.linear.weight.device).to(dtype).eval()
        self.f_e = self.graph.f_e
        self.graph.f_e = _Done(self.f_e)
        for parameter in self.graph.parameters():
            parameter.requires_grad_(False)
        self.known = {name: value.to(dtype) for name, value in known.items()}
        self.sites = tuple(site for site in latent_sites(graph) if site not in known)
        self.dtype = dtype
        self.batches: Sequence[Batch] = ()
        self.weight = 1.0
        self.anchor: Values = {}
        self.slope: Values = {}
        self.units = {site: self._units_of_prior(site) for site in self.sites}

    def ready(self, batch: Batch) -> Batch:
        """Return a batch of the domain for this program: f_e(X) in the place of X, the only row of D."""
        texts = self.f_e(batch.texts.to(self.dtype))
        return dataclasses.replace(batch, domain=0, texts=texts, factors=batch.factors.to(self.dtype))

    def observe(self, batches: Sequence[Batch], weight: float, anchor: Values, slope: Values) -> None:
        """Let the density read other choices.

        Parameters
        ----------
        batches
            From `ready`.
        weight
            How many queries each query stands for.
        anchor, slope
            Site → where the linear term is 0, and its gradient; both empty for none.
        """
        self.batches, self.weight, self.anchor, self.slope = batches, weight, anchor, slope

    def forward(self) -> dict[str, Tensor]:
        """Return the latents by site, ``D`` (1, B), ``S`` (1, 4), …, and score the choices given them."""
        values = self.latents()
        for number, batch in enumerate(self.batches):
            scale = pyro.poutine.scale(scale=self.weight * batch.num_domain_queries)
            with scope(prefix=f"batch_{number}"), scale:
                self._choose(values, batch)
        if self.slope:
            rest = sum((self.slope[site] * (values[site] - self.anchor[site])).sum() for site in self.sites)
            pyro.factor("rest_of_the_log", rest)
        return values

    def latents(self) -> dict[str, Tensor]:
        """Sample the latents from their prior, in `units`; return them by site."""
        config = {node: handler for node, handler in noncentered(self._free()).items() if node not in self.sites}
        config |= fixed_hyperpriors(self.graph) | {site: AffineReparam(*self.units[site]) for site in self.sites}
        with (
            pyro.poutine.trace() as seen,
            pyro.poutine.block(hide_fn=self._is_other),
            pyro.poutine.condition(data=self.known),
            pyro.poutine.reparam(config=config),
        ):
            self.graph.weights()
            self.graph.domain(0)
        return {site: seen.trace.nodes[site]["value"] for site in self.sites}

    def choice(self, values: Values, batch: Batch) -> dist.Categorical:
        """Return P(R | latents) of the queries of a batch, ``(num_queries,)`` over the items."""
        with pyro.poutine.trace() as seen:
            self._choose(values, batch)
        return seen.trace.nodes["R"]["fn"]

    def log_likelihood(self, values: Values, batch: Batch) -> Tensor:
        """Return log P(R | latents) of the targets of a batch, ``(num_queries,)``, each counted once."""
        return self.choice(values, batch).log_prob(batch.targets)

    def gradient(self, values: Values, batches: Iterable[Batch]) -> tuple[float, dict[str, Tensor], int]:
        """Return the log-likelihood of all queries of some batches, its gradient by site, and their number."""
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
        """Return the log density of the latents' prior, in their units."""
        at = pyro.poutine.condition(self.latents, data=self.start(values))
        return float(pyro.poutine.trace(at).get_trace().log_prob_sum())

    def start(self, values: Values) -> dict[str, Tensor]:
        """Return the sites that the guides see, with the values that make the latents `values`."""
        return {site + _UNIT: (values[site] - zero) / one for site, (zero, one) in self.units.items()}

    def _choose(self, values: Values, batch: Batch) -> None:
        program = pyro.poutine.reparam(self.graph, config=noncentered(self._free()) | fixed_hyperpriors(self.graph))
        program = pyro.poutine.condition(program, data={**self._map(batch), **values})
        pyro.poutine.block(program, expose=["R"])(batch)

    def _map(self, batch: Batch) -> Values:
        """Return what is known; under Z → V an item has a row of V in each time slot, with the same offset."""
        row = self.graph.layout.index(batch)
        if row is None:
            return self.known
        return {name: value[row] if name.startswith("V") else value for name, value in self.known.items()}

    def _free(self) -> set[str]:
        return {*self.sites, *(name.removesuffix(_DECENTRED) for name in self.known)}

    def _units_of_prior(self, site: str) -> tuple[Tensor, Tensor]:
        dim = self.graph.domain_widths.get(site, self.graph.config.latent_dim)
        zero = torch.zeros(
            (1, dim) if site in OF_DOMAIN else dim, dtype=self.dtype, device=self.f_e.linear.weight.device
        )
        fn = getattr(self.graph.priors, site)(zero)
        base = fn.base_dist if hasattr(fn, "base_dist") else fn
        if {"loc", "scale"} <= set(base.arg_constraints):
            return base.loc.expand(zero.shape), base.scale.expand(zero.shape)
        return zero, torch.ones_like(zero)

    def _is_other(self, msg: Mapping[str, Any]) -> bool:
        return msg["type"] == "sample" and msg["name"].removesuffix(_UNIT) not in self.sites


class AffineReparam(Reparam):
    """Measure a site in other units: sample ``<name>_unit`` in its place, and set it to zero + one * unit.

    `LocScaleReparam` for any prior and any units; the prior stays what it was.

    Parameters
    ----------
    zero, one
        Of the shape of the site's value; `one` positive.
    """

    def __init__(self, zero: Tensor, one: Tensor) -> None:
        self.zero, self.one = zero, one

    def apply(self, msg: Mapping[str, Any]) -> dict[str, Any]:
        """Return the site as a function of the new one."""
        fn = msg["fn"]
        back = AffineTransform(self.zero, self.one, event_dim=fn.event_dim).inv
        unit = pyro.sample(msg["name"] + _UNIT, dist.TransformedDistribution(fn, [back]))
        value = self.zero + self.one * unit
        return point_mass(value, fn.event_dim)


class _Done(nn.Module):
    """f_e of texts that have been through it."""

    def __init__(self, f_e: nn.Module) -> None:
        super().__init__()
        self.linear = f_e.linear

    def forward(self, texts: Tensor) -> Tensor:
        return texts

"""MAP as variational inference: AutoDelta guides for the nodes that are free, prior means for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, cast

import pyro
import pyro.distributions as dist
from pyro.infer.autoguide import AutoDelta, AutoGuide, AutoGuideList
from pyro.infer.autoguide.initialization import init_to_value
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult
from pyro.infer.util import is_validation_enabled
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.inference.guides.delta import PointMass, point_mass
from prerec_pyro.inference.guides.empirical_bayes import GaussianGuide
from prerec_pyro.inference.guides.free_nodes import NODES, check_free, check_offsets
from prerec_pyro.inference.guides.noncentered import NonCenteredReparam
from prerec_pyro.models.graphs.item_layout import ItemLayout, PerItem
from prerec_pyro.models.graphs.plates import whole_plate
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.models.priors import center

_OF_DOMAINS = ("D", "S")  # a row a domain, prior mean 0


class PriorMeanReparam(Reparam):
    """Amortised inference: the node is fixed at the mean that its network predicts.

    The same as `LocScaleReparam` with the decentred site conditioned at 0, without the cost of evaluating a density
    that is then a constant.
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Return the site as a point mass at the prior's mean."""
        fn, value = cast(dist.TorchDistribution, msg["fn"]), msg["value"]
        return point_mass(center(fn) if value is None else value, fn.event_dim)


class FixedReparam(Reparam):
    """A random setting of a prior that has no consequence, as its node is given: it keeps its starting value."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Return the site as a point mass."""
        fn = cast(dist.TorchDistribution, msg["fn"])
        return point_mass(self.value if msg["value"] is None else msg["value"], fn.event_dim)


def fixed_hyperpriors(graph: Graph, free: Iterable[str] = ()) -> dict[str, Reparam]:
    """Return handlers for ``pyro.poutine.reparam`` that fix the random settings of priors of all but the free nodes."""
    of_others = (sites for node, sites in graph.hypers.items() if node not in set(free))
    return {site: FixedReparam(start) for sites in of_others for site, start in sites.items()}


def noncentered(free: Iterable[str]) -> dict[str, Reparam]:
    """Return the reparameterisation of every node for ``pyro.poutine.reparam``.

    D and S have mean 0 and stay as they are where they are free. A free V becomes mean + scale · V_decentered, so that
    the gradient reaches the encoders. The others stand at their prior mean.
    """
    free = set(free)
    handlers = {node: NonCenteredReparam() if node in free else PriorMeanReparam() for node in NODES}
    return {node: handler for node, handler in handlers.items() if node not in free.intersection(_OF_DOMAINS)}


class PointGuide(AutoDelta):
    """`AutoDelta` that needs no plates: they say how often a density counts, and points have none."""

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the value of each site."""
        sites = _sites(self, *args, **kwargs)
        plates = self._create_plates(*args, **kwargs)
        return {name: _sample_point(name, getattr(self, name), site, plates) for name, site in sites}


class ItemOffsets(AutoDelta):
    """`AutoDelta` for the items of a batch: one point a row of a table, of which a step touches the batch's rows only.

    A plain `AutoDelta` under a subsampled plate gathers from its full parameter, whose gradient and Adam moments are
    then as large as all catalogues together. Here rows are looked up as a sparse embedding.

    Parameters
    ----------
    model
        Exposes the one site ``V_decentered``.
    num_rows, dim
        Items of all domains, and B.
    layout
        Rows of V in a batch.
    """

    def __init__(self, model: Callable, num_rows: int, dim: int, layout: ItemLayout | None = None) -> None:
        super().__init__(model)
        self.layout = layout or PerItem()
        self.table = nn.Embedding(num_rows, dim, sparse=True)
        nn.init.zeros_(self.table.weight)

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        # Only the structure is wanted of the model's first run: the parameters are the table's.
        super(AutoDelta, self)._setup_prototype(*args, **kwargs)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return ``{"V_decentered": (num_rows, B)}`` for the rows of the batch."""
        ((name, site),) = _sites(self, batch)
        return {name: _sample_point(name, self.table(item_rows(batch, self.layout)), site, self._create_plates(batch))}


class MapGuide(AutoGuideList):
    """`AutoGuideList` that makes plates where a part has a density for them to scale, or where Pyro checks shapes."""

    def _create_plates(self, *args: Any, **kwargs: Any) -> dict[str, pyro.plate]:
        if is_validation_enabled() or any(isinstance(part, GaussianGuide) for part in self):
            return super()._create_plates(*args, **kwargs)
        self.plates: dict[str, pyro.plate] = {}
        return self.plates


def _sites(guide: AutoGuide, *args: Any, **kwargs: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the latent sites of a guide's model, found in its first run."""
    if guide.prototype_trace is None:
        guide._setup_prototype(*args, **kwargs)
    prototype = cast(pyro.poutine.Trace, guide.prototype_trace)
    return list(prototype.iter_stochastic_nodes())


def _sample_point(name: str, value: Tensor, site: Mapping[str, Any], plates: Mapping[str, pyro.plate]) -> Tensor:
    """Sample the node of a prototype's `site` where `value` is, under those of its plates that there are."""
    with ExitStack() as stack:
        for frame in site["cond_indep_stack"]:
            if frame.name in plates:
                stack.enter_context(plates[frame.name])
        return pyro.sample(name, PointMass(value, site["fn"].event_dim))


def item_rows(batch: Batch, layout: ItemLayout) -> Tensor:
    """Return the table row behind each row of V, ``(num_rows,)``."""
    index = layout.index(batch)
    return batch.item_rows if index is None else batch.item_rows[index]


class NonCenteredModel(nn.Module):
    """The graph in its non-centred form: the program that the MAP guide is for.

    Parameters
    ----------
    graph
        The model; its parameters are this module's.
    free
        Nodes that the guide gives a value of their own; lifted weights always.
    """

    def __init__(self, graph: Graph, free: Iterable[str]) -> None:
        super().__init__()
        self.graph = graph
        self._program = pyro.poutine.reparam(
            graph, config=noncentered(free) | fixed_hyperpriors(graph, {*free, *graph.lifted})
        )

    def forward(self, batch: Batch) -> Tensor:
        """Run the program on a batch; see `PaperGraph.forward`."""
        return self._program(batch)


def map_guide(
    program: NonCenteredModel,
    num_rows: int,
    free: Iterable[str] | None = None,
    start: Mapping[str, Tensor] | None = None,
) -> AutoGuideList:
    """Return the MAP guide: `AutoDelta` for D, S and lifted weights, `ItemOffsets` for V, of those that are free.

    A node whose prior has a random scale gets a `GaussianGuide`, and the scale an `AutoDelta`.

    It has its parameters after its first call. Do not pickle or deep-copy it; keep its ``state_dict``.

    Parameters
    ----------
    program
        The model, on the device where it is to be trained.
    num_rows
        Items of all source domains together.
    free
        Free nodes, some of D, V and S; the others are amortised. Lifted weights are always free.
    start
        Values to start at, of lifted weights, ``(B,)``, and of random scales. All else starts at its prior mean.

    Raises
    ------
    InputError
        If a node cannot be free, or V is and its prior has no location and scale.
    """
    graph, start = program.graph, start or {}
    free = check_free(free, type(graph), graph.lifted)
    check_offsets(free, graph.priors)

    def create_plates(batch: Batch) -> list[pyro.plate]:
        # Made by hand: a guide would draw indices of its own for a plate it has to make up.
        return [whole_plate("items", len(item_rows(batch, graph.layout)))]

    guide = MapGuide(program, create_plates=create_plates)
    points = {}
    for node, prior in _prior_of(graph, free).items():
        value = start.get(node, center(prior)) if node in graph.lifted else center(prior)
        if node not in graph.hypers:
            points[node] = value.clone()
            continue
        guide.append(GaussianGuide(program, node, graph.num_domains, value.clone(), prior.stddev))
        points |= {site: start.get(site, default).clone() for site, default in graph.hypers[node].items()}
    if points:
        exposed = pyro.poutine.block(program, expose=list(points))
        guide.append(PointGuide(exposed, init_loc_fn=init_to_value(values=points)))
    if "V" in free:
        exposed = pyro.poutine.block(program, expose=["V_decentered"])
        guide.append(ItemOffsets(exposed, num_rows, graph.config.latent_dim, graph.layout))
    return guide


def _prior_of(graph: Graph, free: frozenset[str]) -> dict[str, dist.TorchDistribution]:
    """Return the priors of the free nodes but V, random scales at their start."""
    dim, zeros = graph.config.latent_dim, graph.f_e.linear.weight.new_zeros
    loc = {node: zeros(graph.num_domains, width) for node, width in graph.domain_widths.items() if node in free}
    loc |= {name: zeros(dim) for name in graph.lifted}
    return {node: getattr(graph.priors, node)(zero) for node, zero in loc.items()}


def trained_nodes(guide: AutoGuideList) -> dict[str, Tensor]:
    """Return the MAP of the free nodes, of those there are; of a `GaussianGuide` the mean.

    ``D`` (num_domains, B), ``S`` (num_domains, num_effects), ``V_decentered`` (num_rows, B), ``W_d`` and ``W_z`` (B,), and
    the random scales of their priors, such as ``D_scale`` ().
    """
    found: dict[str, Tensor] = {}
    for part in guide.children():
        if isinstance(part, ItemOffsets):
            found["V_decentered"] = part.table.weight.detach()
        elif isinstance(part, GaussianGuide):
            found |= part.values()
        elif isinstance(part, PointGuide) and part.prototype_trace is not None:
            found |= {site: getattr(part, site).detach() for site in part.prototype_trace.stochastic_nodes}
    return found

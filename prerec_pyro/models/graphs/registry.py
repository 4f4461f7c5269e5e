"""The graphs by name, and how a graph is chosen: by name, by its configuration, or as a class of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.config import GraphConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.graphs.unconfounded import UnconfoundedGraph

Graph = PaperGraph | UnconfoundedGraph
GraphClass = type[PaperGraph] | type[UnconfoundedGraph]

GRAPHS: dict[str, GraphClass] = {
    "paper": PaperGraph,
    "extended": ExtendedGraph,
    "unconfounded": UnconfoundedGraph,
}
DEFAULT = "extended"
_METHODS = ("forward", "weights", "domain", "popularity", "items", "users")


def choose_graph(graph: str | GraphConfig | type[nn.Module] | None) -> tuple[GraphClass, GraphConfig]:
    """Return the class and the configuration of a graph.

    Parameters
    ----------
    graph
        ``"paper"``, ``"extended"`` or ``"unconfounded"``; the configuration of one of them; a class of one's own,
        with its default configuration; or the configuration of such a class, an instance of its ``Config``. None is
        ``"extended"``.

    Raises
    ------
    InputError
        If there is no such graph, or a class lacks what inference needs.

    >>> choose_graph("paper")[0].__name__
    'PaperGraph'
    >>> choose_graph(ExtendedGraph.Config(latent_dim=8))[1].latent_dim
    8
    """
    if graph is None:
        graph = DEFAULT
    if isinstance(graph, str):
        if graph not in GRAPHS:
            raise InputError(f"graph {graph!r}: expected one of {', '.join(GRAPHS)}, or a class of your own")
        return GRAPHS[graph], GRAPHS[graph].Config()
    if isinstance(graph, GraphConfig):
        return _class_of(graph), graph
    checked = check_graph(graph)
    return checked, checked.Config()


def graph_name(graph: GraphClass) -> str:
    """Return the name of a graph, ``"extended"`` say; of a class of one's own that of the class.

    >>> graph_name(ExtendedGraph)
    'extended'
    """
    return next((name for name, known in GRAPHS.items() if known is graph), graph.__name__)


def check_graph(graph: Any) -> GraphClass:
    """Return a graph class that inference can use.

    Raises
    ------
    InputError
        If it is none; the message says what is missing.
    """
    if not (inspect.isclass(graph) and issubclass(graph, nn.Module)):
        raise InputError(
            f"graph {graph!r}: expected a name ({', '.join(GRAPHS)}), a configuration such as "
            "PaperConfig(latent_dim=64), or a subclass of PaperGraph, ExtendedGraph or UnconfoundedGraph"
        )
    name = graph.__name__
    if missing := [method for method in _METHODS if not callable(getattr(graph, method, None))]:
        raise InputError(
            f"graph {name}: it has no {', '.join(missing)}; derive it from PaperGraph, ExtendedGraph or "
            "UnconfoundedGraph, which have all that inference calls"
        )
    config, edges = getattr(graph, "Config", None), getattr(graph, "edges", None)
    if not (inspect.isclass(config) and issubclass(config, GraphConfig)):
        raise InputError(f"graph {name}: Config is {config!r}, expected a subclass of GraphConfig")
    if not isinstance(edges, Mapping) or not {"U", "V", "R"} <= set(edges) or not {"U", "V"} <= set(edges["R"]):
        raise InputError(
            f"graph {name}: edges is {edges!r}, expected a dictionary node: parents that has U, V and R, with U and V "
            'among the parents of R, such as {"V": "", "U": "", "R": "UV"}'
        )
    if unknown := {parent for parents in edges.values() for parent in parents} - set(edges):
        raise InputError(f"graph {name}: edges names {', '.join(sorted(unknown))} as a parent, but not as a node")
    if "Z" in edges["V"] and "V" in edges["U"]:
        raise InputError(
            f"graph {name}: Z → V gives an item a vector for each day, so a history cannot be read as vectors V; leave "
            "one of the edges Z → V and V → U out"
        )
    return cast(GraphClass, graph)


def latent_parents(graph: Graph) -> dict[str, frozenset[str]]:
    """Return the latent parents of each node of a graph, R and the random settings of priors included.

    The edges of the class, plus the weights that are lifted, parents of R, and the random settings, parents of their
    node.
    """
    parents = {node: frozenset(names) for node, names in graph.edges.items()}
    parents["R"] |= set(graph.lifted)
    parents |= {weight: frozenset() for weight in graph.lifted}
    for node, sites in graph.hypers.items():
        parents[node] |= set(sites)
        parents |= {site: frozenset() for site in sites}
    return parents


def _class_of(config: GraphConfig) -> GraphClass:
    known = [*GRAPHS.values(), *_subclasses(PaperGraph), *_subclasses(UnconfoundedGraph)]
    own = [graph for graph in known if graph.Config is type(config)]
    if not own:
        raise InputError(
            f"graph {type(config).__name__}(...): no graph has this class as its Config; give the graph itself, as in "
            "PreRec(graph=MyGraph)"
        )
    built_in = own[0] if own[0] in GRAPHS.values() else None
    return built_in or check_graph(own[-1])  # the last definition counts, where a class was defined again


def _subclasses(graph: GraphClass) -> list[GraphClass]:
    direct = graph.__subclasses__()
    return [*direct, *(deeper for one in direct for deeper in _subclasses(one))]

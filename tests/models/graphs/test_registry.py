"""Graphs by name, by configuration and as classes: what is chosen, what is refused, and a model of one's own graph."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.config import ExtendedConfig, GraphConfig, PaperConfig, UnconfoundedConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.item_layout import ItemRows
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.graphs.registry import GRAPHS, check_graph, choose_graph, graph_name
from prerec_pyro.models.graphs.unconfounded import UnconfoundedGraph
from prerec_pyro.models.priors import Normal, Priors
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.registry import load_model
from tests.support.models import EVERY_GRAPH, PRIORS, EveryPath, small_domain, training


class PricedConfig(ExtendedConfig):
    """Shapes of `PricedGraph`."""

    unit: float = 1.0


class PricedGraph(ExtendedGraph):
    """The extended graph with an effect of the price on V: a graph of one's own."""

    Config = PricedConfig
    covariates = ("price",)

    def __init__(self, config: PricedConfig, **sizes: Any) -> None:
        super().__init__(config, **sizes)
        self.from_price = nn.Parameter(torch.zeros(config.latent_dim))

    def item_mean(self, rows: ItemRows, D: Tensor | None) -> Tensor:
        """Return f_item(D, f_e(X)) plus the effect of the price."""
        return super().item_mean(rows, D) + rows.covariates["price"][:, None] / self.config.unit * self.from_price


TINY = {"latent_dim": 4, "num_layers": 1, "feedforward": 2, "dropout": 0.0, "history_dropout": 0.0}


def priced(domain: Domain) -> Domain:
    """The domain with prices of its items."""
    prices = np.random.default_rng(0).normal(size=domain.num_items).astype(np.float32)
    return dataclasses.replace(domain, item_covariates={"price": prices})


@pytest.mark.parametrize(
    ("graph", "chosen", "config"),
    [
        (None, ExtendedGraph, ExtendedConfig()),
        ("extended", ExtendedGraph, ExtendedConfig()),
        ("paper", PaperGraph, PaperConfig()),
        ("unconfounded", UnconfoundedGraph, UnconfoundedConfig()),
        (PaperConfig(latent_dim=8), PaperGraph, PaperConfig(latent_dim=8)),
        (UnconfoundedConfig(num_layers=1), UnconfoundedGraph, UnconfoundedConfig(num_layers=1)),
        (PaperGraph, PaperGraph, PaperConfig()),
        (EveryPath, EveryPath, ExtendedConfig()),
        (PricedGraph, PricedGraph, PricedConfig()),
        (PricedConfig(latent_dim=8, unit=2.0), PricedGraph, PricedConfig(latent_dim=8, unit=2.0)),
        (ExtendedConfig(latent_dim=8), ExtendedGraph, ExtendedConfig(latent_dim=8)),  # EveryPath has this Config too
    ],
    ids=str,
)
def test_a_graph_is_chosen_by_name_configuration_or_class(graph: Any, chosen: type, config: GraphConfig) -> None:
    found = choose_graph(graph)
    assert found == (chosen, config)
    assert type(found[1]) is type(config)


def test_of_a_class_that_was_defined_again_the_last_counts() -> None:
    class Config(PaperConfig):
        pass

    classes = [type("Again", (PaperGraph,), {"Config": Config}) for _ in range(2)]
    assert choose_graph(Config())[0] is classes[-1]


def test_names() -> None:
    assert [graph_name(graph) for graph in GRAPHS.values()] == list(GRAPHS) == ["paper", "extended", "unconfounded"]
    assert graph_name(EveryPath) == "EveryPath"
    assert all(check_graph(graph) is graph for graph in EVERY_GRAPH)


def subclass(base: type[nn.Module] = PaperGraph, **attributes: object) -> type[nn.Module]:
    return type("Mine", (base,), attributes)


class Orphan(GraphConfig):
    """A configuration that no graph has."""


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ("figure1", "graph 'figure1': expected one of paper, extended, unconfounded, or a class of your own"),
        (3, r"graph 3: expected a name \(paper, extended, unconfounded\), a configuration such as PaperConfig"),
        ({"repeats": False}, r"graph \{'repeats': False\}: expected a name"),
        (int, "graph <class 'int'>: expected a name"),
        (nn.Linear(1, 1), r"graph Linear\(.*\): expected a name"),
        (
            nn.Linear,
            "graph Linear: it has no weights, domain, popularity, items, users; derive it from PaperGraph, "
            "ExtendedGraph or UnconfoundedGraph, which have all that inference calls",
        ),
        (subclass(items=None), "graph Mine: it has no items; derive it"),
        (subclass(Config=dict), "graph Mine: Config is <class 'dict'>, expected a subclass of GraphConfig"),
        (subclass(Config=None), "graph Mine: Config is None, expected a subclass of GraphConfig"),
        (subclass(edges="UVR"), "graph Mine: edges is 'UVR', expected a dictionary node: parents that has U, V and R"),
        (subclass(edges={"V": "", "R": "V"}), "expected a dictionary node: parents that has U, V and R"),
        (subclass(edges={"V": "", "U": "", "R": "U"}), "with U and V among the parents of R"),
        (
            subclass(edges={"V": "D", "U": "S", "R": "UV"}),
            "graph Mine: edges names D, S as a parent, but not as a node",
        ),
        (
            subclass(edges={"D": "", "Z": "", "V": "DZ", "U": "DV", "R": "UVDZ"}),
            "graph Mine: Z → V gives an item a vector for each day.*leave one of the edges Z → V and V → U out",
        ),
        (Orphan(), r"graph Orphan\(...\): no graph has this class as its Config; give the graph itself, as in PreRec"),
        (GraphConfig(), r"graph GraphConfig\(...\): no graph has this class as its Config"),
    ],
    ids=str,
)
def test_what_is_no_graph_is_refused(graph: Any, message: str) -> None:
    for choose in (choose_graph, lambda graph: PreRec(graph, device="cpu")):
        with pytest.raises(InputError, match=message):
            choose(graph)


@pytest.mark.parametrize("node", ["D", "Z", "S", "W_d", "W_z"])
def test_a_prior_of_a_node_that_the_graph_lacks_is_refused(node: str) -> None:
    priors = dataclasses.replace(Priors(), **{node: Normal(0.123)})
    PreRec("extended", priors=priors, device="cpu")
    lacking = {"S": ["paper", "unconfounded"]}.get(node, ["unconfounded"])
    for name in GRAPHS:
        if name in lacking:
            message = f"prior of {node}: the graph {name} has no {node}; leave the prior out"
            with pytest.raises(InputError, match=message):
                PreRec(name, priors=priors, device="cpu")
        else:
            assert getattr(PreRec(name, priors=priors, device="cpu").priors, node) == Normal(0.123)


@pytest.mark.parametrize(
    ("graph", "free", "message"),
    [
        ("paper", "DS", "the graph paper has no node S; free any of D, V$"),
        ("unconfounded", "D", "the graph unconfounded has no node D; free any of V$"),
        (PricedGraph, "Q", "unknown Q"),
    ],
)
def test_a_free_node_that_the_graph_lacks_is_refused(graph: Any, free: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PreRec(graph, free=free, device="cpu")


def test_by_default_D_and_V_are_free_where_there_are_any() -> None:
    free = {name: set(PreRec(name, device="cpu").free) for name in GRAPHS}
    assert free == {"paper": {"D", "V"}, "extended": {"D", "V"}, "unconfounded": {"V"}}


@pytest.fixture(scope="module")
def own() -> PreRec:
    """A trained model of a graph of one's own, with a price effect that a test can see."""
    settings = {"training": training(epochs=2), "priors": PRIORS, "window": 3, "device": "cpu"}
    model = PreRec(PricedConfig(**TINY, unit=0.5), **settings)
    model.fit([priced(small_domain("a")), priced(small_domain("b", num_items=9, seed=2))])
    with torch.no_grad():
        model.graph.from_price += 1.0
    return model


NEW = priced(small_domain("new", num_items=10, seed=3))


def test_a_graph_of_ones_own_is_trained_and_its_covariate_ranks(own: PreRec) -> None:
    assert (own.name, graph_name(own.graph_class)) == ("prerec_PricedGraph", "PricedGraph")
    assert own.config.unit == 0.5
    encoded = own.encode(NEW).whitened(own.whitening)
    expected = own.graph.f_e(encoded.texts) + 2 * encoded.covariates["price"][:, None] * own.graph.from_price
    np.testing.assert_allclose(own.embed(NEW), expected.detach(), atol=1e-6)
    other = dataclasses.replace(NEW, item_covariates={"price": 1 - NEW.item_covariates["price"]})
    assert not own.recommend(NEW).equals(own.recommend(other))
    tuned = own.fine_tune(NEW, training=training(epochs=1))
    assert type(tuned.graph) is PricedGraph
    assert len(tuned.recommend(NEW)) > 0


def test_a_domain_without_the_covariate_is_refused(own: PreRec) -> None:
    without = small_domain("new", num_items=10, seed=3)
    with pytest.raises(
        InputError, match="domain 'new' has no item covariate 'price', which the graph PricedGraph reads"
    ):
        own.recommend(without)


def test_a_graph_of_ones_own_is_read_back_with_its_class(own: PreRec, tmp_path: Path) -> None:
    own.save(tmp_path / "m")
    again = PreRec.load(tmp_path / "m", device="cpu", graph=PricedGraph)
    assert (again.graph_class, again.config, again.name) == (PricedGraph, own.config, own.name)
    pd.testing.assert_frame_equal(again.recommend(NEW), own.recommend(NEW), check_exact=True)
    again.save(tmp_path / "n")
    for name in ("config.json", "weights.safetensors"):
        assert (tmp_path / "n" / name).read_bytes() == (tmp_path / "m" / name).read_bytes()


def test_without_its_class_it_is_not_read(own: PreRec, tmp_path: Path) -> None:
    own.save(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "config.json").read_text())["graph"]["name"] == "PricedGraph"
    give = r"a graph of one's own, PricedGraph; give its class, as in PreRec.load\(folder, graph=PricedGraph\)"
    with pytest.raises(InputError, match=give):
        PreRec.load(tmp_path / "m", device="cpu")
    with pytest.raises(InputError, match="of the graph PricedGraph, not of EveryPath"):
        PreRec.load(tmp_path / "m", device="cpu", graph=EveryPath)
    with pytest.raises(InputError, match="derive it from PaperGraph"):
        PreRec.load(tmp_path / "m", device="cpu", graph=nn.Linear)
    with pytest.raises(InputError, match=give):
        load_model(tmp_path / "m", device="cpu")


def test_a_built_in_graph_is_not_read_as_another(tmp_path: Path) -> None:
    PreRec(PaperConfig(**TINY), training=training(epochs=0), window=3, device="cpu").fit([small_domain("a")]).save(
        tmp_path / "m"
    )
    assert PreRec.load(tmp_path / "m", device="cpu").graph_class is PaperGraph
    assert PreRec.load(tmp_path / "m", device="cpu", graph=PaperGraph).graph_class is PaperGraph
    with pytest.raises(InputError, match="holds a model of the graph paper, not of extended"):
        PreRec.load(tmp_path / "m", device="cpu", graph=ExtendedGraph)


def test_a_class_that_shares_a_Config_is_kept() -> None:
    """EveryPath has the Config of the extended graph: the class, and not its Config, says which graph it is."""
    model = PreRec(EveryPath, training=training(epochs=0), priors=PRIORS, window=3, device="cpu")
    model.config = ExtendedConfig(**TINY)
    model.fit([small_domain("a")])
    for other in (model.with_priors(PRIORS), model.fine_tune(small_domain("b"), training=training(epochs=0))):
        assert other.graph_class is EveryPath
        assert other.config == model.config

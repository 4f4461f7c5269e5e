"""Which nodes the program has and which read which: Fig. 1, and what is added to it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyro
import pytest
import torch
from pyro.infer.inspect import get_dependencies

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.priors import Normal
from tests.support.graphs import SWITCHES, WIDE, make_graph, run

FIG_1 = {"D": set(), "Z": set(), "V": set("DZ"), "U": set("D"), "R": set("UVDZ")}
WITH_S = FIG_1 | {"S": set(), "R": set("UVDZS")}
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def latent_parents(program: Any, batch: Batch) -> dict[str, set[str]]:
    found = get_dependencies(program, model_args=(batch,))["prior_dependencies"]
    return {node: set(parents) - {node} for node, parents in found.items()}


def test_the_program_is_figure_1(batch: Batch) -> None:
    assert latent_parents(make_graph(popularity_to_item=True, strengths=False), batch) == FIG_1
    assert latent_parents(make_graph(popularity_to_item=True), batch) == WITH_S
    without = make_graph(item_to_user=False, strengths=False)
    assert latent_parents(without, batch) == FIG_1 | {"V": set("D")}
    assert without.parents == FIG_1 | {"V": set("D"), "S": set()}


def test_by_default_histories_are_made_of_the_items(batch: Batch) -> None:
    graph = make_graph()
    assert latent_parents(graph, batch) == WITH_S | {"V": set("D"), "U": set("DV")} == graph.parents
    without_D = make_graph(confounders=False)
    assert latent_parents(without_D, batch) == {"V": set(), "U": set("V"), "R": set("UV")}
    V = run(graph, batch)["V"]["value"]
    D = torch.zeros(2, 8).double()
    U = run(graph, batch, V=V, D=D)["U"]["fn"].mean
    with torch.no_grad():
        torch.testing.assert_close(U, graph.f_seq(D[1], V[batch.history], batch.positions), **EXACT)
        texts = graph.f_seq(D[1], graph.f_e(batch.texts)[batch.history], batch.positions)
    assert not torch.allclose(U, texts)


@pytest.mark.parametrize("lifted", [{"W_z"}, {"W_d", "W_z"}])
def test_a_weight_with_a_prior_is_a_node_of_its_own(lifted: set[str], batch: Batch) -> None:
    graph = make_graph(priors=dataclasses.replace(WIDE, **dict.fromkeys(lifted, Normal(0.5))))
    expected = WITH_S | {"V": set("D"), "U": set("DV"), "R": WITH_S["R"] | lifted} | {name: set() for name in lifted}
    assert latent_parents(graph, batch) == expected == graph.parents
    sites = run(graph, batch)
    assert list(sites).index("R") > max(list(sites).index(name) for name in lifted)
    for name in lifted:
        site = sites[name]
        assert (site["fn"].batch_shape, site["fn"].event_shape, site["cond_indep_stack"]) == ((), (8,), ())
        share = 1 / (batch.num_domain_queries * graph.num_domains)
        torch.testing.assert_close(site["log_prob_sum"], site["fn"].log_prob(site["value"]) * share)
    names = {name for name, _ in graph.named_parameters()}
    assert {"W_d", "W_z"} & names == {"W_d", "W_z"} - lifted


def test_without_confounders_no_weight_is_a_node(batch: Batch) -> None:
    graph = make_graph(priors=dataclasses.replace(WIDE, W_z=Normal(0.5)), confounders=False)
    assert set(latent_parents(graph, batch)) == set("VUR")
    assert "W_z" not in graph.parents


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_parents_says_what_the_program_does(switches: dict[str, bool], batch: Batch) -> None:
    graph = make_graph(**switches)
    found = latent_parents(graph, batch)
    assert {node: graph.parents[node] for node in found} == found
    assert set(graph.parents) - set(found) == {
        node for node in "DZS" if "confounders" in switches or (node == "S" and "strengths" in switches)
    }


def test_do_cuts_the_edges_into_the_node_and_no_other(batch: Batch) -> None:
    graph = make_graph(popularity_to_item=True)
    value = torch.zeros(2, 8).double()
    found = latent_parents(pyro.poutine.do(graph, data={"D": value}), batch)
    assert {node: found[node] for node in "ZVUR"} == {"Z": set(), "V": {"Z"}, "U": set(), "R": set("UVZS")}
    shape = run(graph, batch)["Z"]["value"].shape
    found = latent_parents(pyro.poutine.do(graph, data={"Z": torch.ones(shape).double()}), batch)
    assert {node: found[node] for node in "DVUR"} == {"D": set(), "V": {"D"}, "U": {"D"}, "R": set("UVDS")}


def test_under_do_the_fresh_site_of_D_moves_nothing(batch: Batch) -> None:
    graph = make_graph(item_to_user=False)
    intervened = pyro.poutine.do(graph, data={"D": torch.ones(2, 8).double()})
    one, other = run(intervened, batch), run(intervened, batch)
    assert not torch.equal(one["D"]["value"], other["D"]["value"])
    free, freed = run(graph, batch), run(graph, batch)
    for node in "UV":
        torch.testing.assert_close(one[node]["fn"].mean, other[node]["fn"].mean, **EXACT)
        assert not torch.allclose(free[node]["fn"].mean, freed[node]["fn"].mean)

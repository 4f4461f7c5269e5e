"""Parents of each node as the program has them: Fig. 1 of the paper, and what each graph changes of it."""

from __future__ import annotations

import dataclasses

import pyro
import pytest
import torch

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.edges import check_edges, program_parents
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.graphs.registry import GraphClass, graph_name, latent_parents
from prerec_pyro.models.priors import HalfCauchy, Horseshoe, LogNormal, Normal, Priors
from tests.support.graphs import WIDE, make_graph, run
from tests.support.models import EVERY_GRAPH, EveryPath, PlainGraph

EXACT = {"rtol": 1e-9, "atol": 1e-9}
PARENTS = {
    "paper": {"D": set(), "Z": set(), "V": set("DZ"), "U": set("D"), "R": set("UVDZ")},
    "extended": {"D": set(), "S": set(), "Z": set(), "V": set(), "U": set("DVS"), "R": set("UVDZS")},
    "unconfounded": {"V": set(), "U": set(), "R": set("UV")},
    "EveryPath": {"D": set(), "S": set(), "Z": set(), "V": set("D"), "U": set("DVS"), "R": set("UVDZS")},
    "PlainGraph": {"D": set(), "Z": set(), "V": set("D"), "U": set("D"), "R": set("UVDZ")},
}
LIFTED = dataclasses.replace(WIDE, W_z=Normal(0.5))
BOTH_LIFTED = dataclasses.replace(LIFTED, W_d=Normal(0.5))
RANDOM_SCALES = dataclasses.replace(WIDE, D=Normal(LogNormal(0.5, 1.0)), W_z=Horseshoe(HalfCauchy(0.5)))


class ReadsTexts(PaperGraph):
    """Declares V → U, which the program of `PaperGraph` does not have."""

    edges = {"D": "", "Z": "", "V": "D", "U": "DV", "R": "UVDZ"}  # noqa: RUF012


class ForgetsS(ExtendedGraph):
    """Leaves out S, which the program of `ExtendedGraph` samples."""

    edges = {"D": "", "Z": "", "V": "", "U": "DV", "R": "UVDZ"}  # noqa: RUF012


@pytest.mark.parametrize("graph", EVERY_GRAPH, ids=graph_name)
def test_the_program_has_the_edges_of_its_graph(graph: GraphClass, batch: Batch) -> None:
    made = make_graph(graph)
    assert program_parents(made, batch) == PARENTS[graph_name(graph)] == latent_parents(made)
    assert {node: set(parents) for node, parents in graph.edges.items()} == PARENTS[graph_name(graph)]


@pytest.mark.parametrize(
    ("priors", "of_R", "others"),
    [
        (LIFTED, {"W_z"}, {"W_z": set()}),
        (BOTH_LIFTED, {"W_d", "W_z"}, {"W_d": set(), "W_z": set()}),
        (
            RANDOM_SCALES,
            {"W_z"},
            {
                "D": {"D_scale"},
                "D_scale": set(),
                "W_z": {"W_z_scale", "W_z_local"},
                "W_z_scale": set(),
                "W_z_local": set(),
            },
        ),
    ],
    ids=["lifted weight", "both weights lifted", "random scales"],
)
@pytest.mark.parametrize("graph", ["paper", "extended"])
def test_lifted_weights_and_random_scales_are_nodes(
    graph: str, priors: Priors, of_R: set[str], others: dict[str, set[str]], batch: Batch
) -> None:
    made = make_graph(graph, priors=priors)
    expected = PARENTS[graph] | others | {"R": PARENTS[graph]["R"] | of_R}
    assert program_parents(made, batch) == expected == latent_parents(made)


@pytest.mark.parametrize("lifted", [{"W_z"}, {"W_d", "W_z"}])
def test_a_lifted_weight_has_one_row_and_counts_once_over_all_domains(lifted: set[str], batch: Batch) -> None:
    graph = make_graph(priors=dataclasses.replace(WIDE, **dict.fromkeys(lifted, Normal(0.5))))
    sites = run(graph, batch)
    assert list(sites).index("R") > max(list(sites).index(name) for name in lifted)
    for name in lifted:
        site = sites[name]
        assert (site["fn"].batch_shape, site["fn"].event_shape, site["cond_indep_stack"]) == ((), (8,), ())
        share = 1 / (batch.num_domain_queries * graph.num_domains)
        torch.testing.assert_close(site["log_prob_sum"], site["fn"].log_prob(site["value"]) * share)
    names = {name for name, _ in graph.named_parameters()}
    assert {"W_d", "W_z"} & names == {"W_d", "W_z"} - lifted


@pytest.mark.parametrize(("graph", "reads_items"), [(EveryPath, True), ("paper", False)])
def test_a_history_is_read_as_vectors_V_or_as_texts(graph: str | GraphClass, reads_items: bool, batch: Batch) -> None:
    made = make_graph(graph, **({"num_interests": 1} if reads_items else {}))
    sites = run(made, batch)
    V, D = sites["V"]["value"], sites["D"]["value"]
    with torch.no_grad():
        texts = made.f_seq(D[1], made.f_e(batch.texts)[batch.history], batch.positions)
        if reads_items:
            torch.testing.assert_close(
                sites["U"]["fn"].mean, made.f_seq(D[1], V[batch.history], batch.positions), **EXACT
            )
            assert not torch.allclose(sites["U"]["fn"].mean, texts)
        else:
            torch.testing.assert_close(sites["U"]["fn"].mean, texts, **EXACT)


def test_with_one_interest_S_says_nothing_of_U(batch: Batch) -> None:
    made = make_graph("extended", num_interests=1)
    assert program_parents(made, batch) == PARENTS["extended"] | {"U": set("DV")}
    assert set(made.edges["U"]) == set("DV")
    assert made.domain_widths["S"] == 4


def test_do_cuts_the_edges_into_the_node_and_no_other(batch: Batch) -> None:
    """The back door D → U → R, D → V → R and D → R is open, and closed under do."""
    graph = make_graph("paper")
    value = torch.zeros(2, 8).double()
    found = program_parents(pyro.poutine.do(graph, data={"D": value}), batch)
    assert {node: found[node] for node in "ZVUR"} == {"Z": set(), "V": {"Z"}, "U": set(), "R": set("UVZ")}
    shape = run(graph, batch)["Z"]["value"].shape
    found = program_parents(pyro.poutine.do(graph, data={"Z": torch.ones(shape).double()}), batch)
    assert {node: found[node] for node in "DVUR"} == {"D": set(), "V": {"D"}, "U": {"D"}, "R": set("UVD")}


def test_do_leaves_the_other_effects_of_the_extended_graph(batch: Batch) -> None:
    graph = make_graph("extended")
    shapes = {node: site["value"].shape for node, site in run(graph, batch).items() if node in "DZS"}
    expected = {
        "D": {"S": set(), "Z": set(), "V": set(), "U": set("VS"), "R": set("UVZS")},
        "Z": {"D": set(), "S": set(), "V": set(), "U": set("DVS"), "R": set("UVDS")},
        "S": {"D": set(), "Z": set(), "V": set(), "U": set("DV"), "R": set("UVDZ")},
    }
    for node, others in expected.items():
        found = program_parents(pyro.poutine.do(graph, data={node: torch.ones(shapes[node]).double()}), batch)
        assert {other: found[other] for other in others} == others


def test_under_do_the_fresh_site_of_D_moves_nothing(batch: Batch) -> None:
    graph = make_graph(PlainGraph)
    intervened = pyro.poutine.do(graph, data={"D": torch.ones(2, 8).double()})
    one, other = run(intervened, batch), run(intervened, batch)
    assert not torch.equal(one["D"]["value"], other["D"]["value"])
    free, freed = run(graph, batch), run(graph, batch)
    for node in "UV":
        torch.testing.assert_close(one[node]["fn"].mean, other[node]["fn"].mean, **EXACT)
        assert not torch.allclose(free[node]["fn"].mean, freed[node]["fn"].mean)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            ReadsTexts,
            "ReadsTexts: edges gives U the parents D, V, but its forward gives it the parents D; change",
        ),
        (
            ForgetsS,
            "ForgetsS: edges gives R the parents D, U, V, Z, but its forward gives it the parents D, S, U",
        ),
    ],
)
def test_a_graph_is_refused_whose_program_has_other_edges(graph: GraphClass, message: str, batch: Batch) -> None:
    with pytest.raises(InputError, match=message):
        check_edges(make_graph(graph), batch)


@pytest.mark.parametrize("graph", EVERY_GRAPH, ids=graph_name)
def test_a_graph_with_the_edges_of_its_program_passes_and_draws_no_random_number(
    graph: GraphClass, batch: Batch
) -> None:
    made, state = make_graph(graph), torch.get_rng_state()
    check_edges(made, batch)
    assert torch.equal(torch.get_rng_state(), state)

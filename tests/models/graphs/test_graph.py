"""The graphs as programs: densities, plates and sample dimensions, against loops and closed forms."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, catalogue_batch, lay_out
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.models.graphs.config import GraphConfig
from prerec_pyro.models.graphs.registry import Graph, GraphClass, graph_name
from prerec_pyro.models.likelihoods.repeat_mixture import RepeatMixture
from prerec_pyro.models.priors import Normal, Priors
from tests.support.graphs import WIDE, all_windows, as_double, make_batch, make_encoded, make_graph, run
from tests.support.models import EVERY_GRAPH, EveryPath, PlainGraph, brute_force_mixture, repeats_so_far, seen_matrix

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def test_lifted_weights_take_particles(batch: Batch) -> None:
    """R under many values of all nodes at once is R under each on its own."""
    graph = make_graph(priors=dataclasses.replace(WIDE, W_d=Normal(0.5), W_z=Normal(0.5)))

    def particles(batch: Batch) -> None:
        with pyro.plate("particles", 3, dim=-2):
            graph(batch)

    many = run(particles, batch)
    for particle in range(3):
        values = {node: many[node]["value"][particle] for node in "DZSUV"}
        values |= {name: many[name]["value"][particle, 0] for name in ("W_d", "W_z")}
        one = run(graph, batch, **values)
        torch.testing.assert_close(many["R"]["fn"].logits[particle], one["R"]["fn"].logits, **EXACT)


@pytest.mark.parametrize("name", ["extended", "paper"])
def test_W_d_cancels_in_the_softmax(name: str, batch: Batch) -> None:
    graph = make_graph(name)
    values = latents(graph, batch)
    before = run(graph, batch, **values)["R"]["fn"].probs
    with torch.no_grad():
        graph.W_d += 5.0
    torch.testing.assert_close(run(graph, batch, **values)["R"]["fn"].probs, before, **EXACT)
    trace = pyro.poutine.trace(pyro.poutine.condition(graph, data=values)).get_trace(batch)
    trace.log_prob_sum().backward()
    assert graph.W_d.grad.abs().max() < 1e-12
    assert graph.W_z.grad.abs().max() > 1e-3


@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
def test_response_is_equation_2_or_the_mixture(kind: GraphClass, batch: Batch) -> None:
    narrow = dataclasses.replace(WIDE, V=Normal(1e-12))  # V at its mean, to be recomputed item by item
    graph = make_graph(kind, priors=narrow)
    sites = run(graph, batch)
    expected = torch.stack([brute_logits(graph, batch, sites, query) for query in range(batch.num_queries)])
    torch.testing.assert_close(sites["R"]["fn"].probs, expected.softmax(-1), **EXACT)
    chosen = sites["R"]["value"]
    assert chosen.tolist() == ([0] * batch.num_queries if batch.negatives is not None else batch.targets.tolist())
    if batch.negatives is not None:
        assert expected.isinf().any()  # some negatives are the target
        assert len(batch.negatives.unique()) < len(batch.negatives)  # and some were drawn twice


def test_the_effect_of_repeats_is_the_same_where_it_learns(batch: Batch) -> None:
    graph = make_graph()
    values = latents(graph, batch)
    trace = pyro.poutine.trace(pyro.poutine.condition(graph, data=values)).get_trace(batch)  # with gradients
    torch.testing.assert_close(trace.nodes["R"]["fn"].logits, run(graph, batch, **values)["R"]["fn"].logits, **EXACT)
    trace.log_prob_sum().backward()
    if batch.negatives is not None:
        assert graph.likelihood.w_h.grad.abs() > 1e-4
    else:
        assert graph.likelihood.w_h.grad is None, "it is for training"


def latents(graph: Graph, batch: Batch) -> dict[str, Tensor]:
    """Values of all nodes but R, drawn."""
    return {node: site["value"] for node, site in run(graph, batch).items() if node in "DZSVU"}


def brute_logits(graph: Graph, batch: Batch, sites: dict[str, Any], query: int) -> Tensor:
    """Eqs. 2 and 3 for one query, item by item."""
    row, column = divmod(int(batch.positions[query]), batch.history.shape[1])
    read = batch.history[row, : column + 1]
    chosen, edges = graph.likelihood, graph.edges
    S = sites["S"]["value"][batch.domain] * chosen.spread if "S" in edges else torch.zeros(6).double()

    def vector(item: int, level: Tensor) -> Tensor:
        """The mean of V."""
        V = graph.f_e.linear.weight @ batch.texts[item]
        if "D" in edges["V"]:
            V = V + graph.f_item.from_domain.weight @ sites["D"]["value"][batch.domain]
        return V + graph.f_item.from_popularity.weight @ sites["Z"]["value"][level[0]] if "Z" in edges["V"] else V

    def match(V: Tensor) -> Tensor:
        """U·V, U split into interests around the items of the history."""
        U = sites["U"]["value"][query]
        if getattr(graph, "interests", None) is None:
            return U @ V
        last = torch.stack([vector(item, None) for item in read[-graph.interests.most :].tolist()])
        age, length = (
            torch.arange(len(last)).flip(0),
            graph.f_seq.log_length.exp() * (len(last) / 4) ** graph.interests.growth,
        )
        weights = (-(graph.interests.log_fading + S[4]).exp() * age).softmax(0)
        contrast = (graph.interests.log_contrast + S[5]).exp() / length  # in units of U
        interests = U + length * (last - weights @ last)  # (num_interests, B)
        return (weights.log() + contrast * interests @ V).logsumexp(0) / contrast

    def scores(item: int, level: Tensor) -> tuple[Tensor, Tensor]:
        """The match, and the rest of eq. 2, given the level of an item in each window."""
        rest = torch.zeros(()).double()
        if "D" in edges:
            effect = sum(sites["Z"]["value"][one] @ graph.W_z for one in level)
            rest = sites["D"]["value"][batch.domain] @ graph.W_d + S[1].exp() * effect
        if isinstance(chosen, RepeatMixture) and batch.negatives is not None and item in read:
            rest = rest + chosen.w_h + S[2]
        return S[0].exp() * match(vector(item, level)), rest

    def mixture(candidates: list[tuple[Tensor, Tensor]]) -> Tensor:
        match, rest = (torch.stack(part)[None] for part in zip(*candidates, strict=True))
        rates = (chosen.w_r + S[2], chosen.w_o + S[3]) if isinstance(chosen, RepeatMixture) else (None, None)
        known = seen_matrix(batch)[[query]], repeats_so_far(batch)[[query]].double()
        return brute_force_mixture(match, rest, *known, *rates)[0]

    windows = graph.num_windows > 1 and batch.window_level is not None
    levels = torch.stack([batch.candidate_level, *(batch.window_level if windows else [])])[:, batch.slot[query]].mT
    with torch.no_grad():
        if batch.negatives is None:
            return mixture([scores(item, level) for item, level in enumerate(levels)])
        target = int(batch.targets[query])
        own = torch.stack([batch.target_level, *(batch.target_window_level if windows else [])])[:, query]
        found = [sum(scores(target, own))]
        for item, level in zip(batch.negatives.tolist(), levels, strict=True):
            found.append(torch.tensor(-torch.inf).double() if item == target else sum(scores(item, level)))
        return torch.stack(found)


@pytest.mark.parametrize("edge", [False, True])
def test_batches_are_unbiased_estimates_of_the_full_density(edge: bool) -> None:
    timed = make_encoded(num_items=60, sold=12)
    graph = make_graph("paper" if edge else EveryPath, num_domains=1)
    plain = make_graph(PlainGraph if edge else EveryPath, num_domains=1)
    if edge:  # V would have a value per slot; with the edge at zero one value serves all slots
        graph.load_state_dict(plain.state_dict(), strict=False)
        torch.nn.init.zeros_(graph.f_item.from_popularity.weight)
    windows, rng = all_windows(timed), np.random.default_rng(0)
    whole = run(plain, as_double(catalogue_batch(timed, windows)[0]))
    of_domain = {node: whole[node]["value"] for node in "DS" if node in whole}
    V = whole["V"]["value"]
    events = lay_out(windows).target_events
    U = torch.zeros(timed.domain.num_interactions, 8).double()
    U[events] = whole["U"]["value"]
    density_of_U = torch.zeros(len(U)).double()
    density_of_U[events] = whole["U"]["fn"].log_prob(whole["U"]["value"])

    of_V, draws = [], 800
    for _ in range(draws):
        half = windows[rng.permutation(len(windows))[: len(windows) // 2]]
        batch = as_double(make_batch(timed, half, num_negatives=40, seed=rng))
        index = graph.layout.index(batch)
        rows = batch.items if index is None else batch.items[index]
        own = lay_out(half).target_events
        sites = run(graph, batch, V=V[rows], U=U[own], **of_domain)
        of_V.append(float(sites["V"]["log_prob_sum"]))
        # In nats a query: D counts once for all queries, U and R are means over those of the batch.
        choice = sites["R"]["fn"].log_prob(sites["R"]["value"])
        torch.testing.assert_close(sites["D"]["log_prob_sum"], whole["D"]["log_prob_sum"], **EXACT)
        torch.testing.assert_close(sites["U"]["log_prob_sum"], density_of_U[own].mean(), **EXACT)
        torch.testing.assert_close(sites["R"]["log_prob_sum"], choice.mean(), **EXACT)
    error = np.std(of_V) / draws**0.5
    assert error < 0.02 * abs(np.mean(of_V))
    assert abs(np.mean(of_V) - float(whole["V"]["log_prob_sum"])) < 4 * error


def test_against_all_items_once_training_has_the_likelihood_of_the_full_catalogue(timed: EncodedDomain) -> None:
    graph = make_graph(PlainGraph, num_domains=1)
    whole = as_double(catalogue_batch(timed, all_windows(timed))[0])
    every = as_double(make_batch(timed, num_negatives=timed.num_items))
    shared = {node: site["value"] for node, site in run(graph, whole).items() if node in "DSVU"}
    found = []
    for batch in (whole.without_other_windows(), every.without_other_windows()):
        R = run(graph, batch, Z=graph.f_pop(batch.factors), **shared)["R"]  # levels are numbered batch by batch
        found.append(R["fn"].log_prob(R["value"]))
    torch.testing.assert_close(*found, **EXACT)


@pytest.mark.parametrize("kind", ["extended", "paper", "unconfounded"])
def test_without_subsampling_the_density_is_the_joint_per_query(kind: str, timed: EncodedDomain) -> None:
    graph = make_graph(kind, num_domains=2)
    batch = as_double(dataclasses.replace(catalogue_batch(timed, all_windows(timed))[0], domain=1))
    sites = run(graph, batch)
    widths = {"D": 8, "S": 6} if kind == "extended" else {"D": 8} if kind == "paper" else {}
    joint = torch.zeros(()).double()
    for node, width in widths.items():  # of the batch's domain alone
        joint = joint + getattr(graph.priors, node)(torch.zeros(width).double()).log_prob(sites[node]["value"][1])
    others = [node for node in "ZVUR" if node in graph.edges]
    if kind == "paper":  # each row of V is an item in a slot
        assert len(sites["V"]["value"]) == batch.candidate_level.numel()
    joint = joint + sum(sites[node]["fn"].log_prob(sites[node]["value"]).sum() for node in others)
    total = sum(sites[node]["log_prob_sum"] for node in [*widths, *others])
    torch.testing.assert_close(total, joint / batch.num_queries, **EXACT)


def test_the_popularity_edge_at_zero_is_no_edge(batch: Batch) -> None:
    plain, edge = make_graph(PlainGraph), make_graph("paper")
    missing = edge.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == ["f_item.from_popularity.weight"]
    torch.nn.init.zeros_(edge.f_item.from_popularity.weight)
    values = latents(plain, batch)
    without = run(plain, batch, **values)
    rows = edge.layout.index(batch)
    with_edge = run(edge, batch, **(values | {"V": values["V"][rows]}))
    torch.testing.assert_close(with_edge["V"]["fn"].mean, without["V"]["fn"].mean[rows], **EXACT)
    torch.testing.assert_close(with_edge["R"]["fn"].logits, without["R"]["fn"].logits, **EXACT)
    if batch.prior_weight is not None:  # an item's prior counts as often as before, shared by its slots
        torch.testing.assert_close(with_edge["V"]["log_prob_sum"], without["V"]["log_prob_sum"], **EXACT)


def test_averaging_over_D_is_the_closed_form_of_equation_5(timed: EncodedDomain) -> None:
    graph = make_graph(PlainGraph)
    batch = as_double(catalogue_batch(timed, all_windows(timed)[:3])[0])
    sites = run(graph, batch)
    U, V, Z = (sites[node]["value"] for node in "UVZ")
    with torch.no_grad():
        score = U @ V.mT + (Z @ graph.W_z)[batch.candidate_level][batch.slot]  # one window: see `PlainGraph`
        closed = score.softmax(-1)  # softmax(U·V + Z·W_z)
        D = graph.priors.D(torch.zeros(500, 8).double()).sample()  # (S, B)
        sampled = score + (D @ graph.W_d)[:, None, None]
    assert sampled.shape == (500, *score.shape)
    assert sampled.std(0).max() > 0.1  # D does move the logits
    torch.testing.assert_close(sampled.softmax(-1).mean(0), closed, rtol=0, atol=1e-5)

    def particles(batch: Batch) -> None:
        with pyro.plate("particles", 500, dim=-2):
            graph(batch)

    program = pyro.poutine.do(particles, data={"U": U, "V": V, "Z": Z})
    with torch.no_grad():
        trace = pyro.poutine.trace(program).get_trace(batch)
    assert trace.nodes["D"]["value"].shape == (500, 2, 8)
    torch.testing.assert_close(trace.nodes["R"]["fn"].probs.mean(0), closed, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
def test_all_nodes_take_leading_sample_dimensions(kind: GraphClass, batch: Batch) -> None:
    graph = make_graph(kind)
    with pyro.plate("particles", 3, dim=-2):
        sites = run(graph, batch)
    for node in set("ZVUR") & set(graph.edges):
        assert sites[node]["fn"].batch_shape[0] == 3
    one = {node: sites[node]["value"][1] for node in "DZSVU" if node in sites}
    torch.testing.assert_close(sites["R"]["fn"].logits[1], run(graph, batch, **one)["R"]["fn"].logits, **EXACT)
    torch.testing.assert_close(sites["U"]["fn"].mean[1], run(graph, batch, **one)["U"]["fn"].mean, **EXACT)


def test_priors_of_the_users_own_reach_their_nodes(batch: Batch) -> None:
    priors = Priors(D=lambda loc: dist.Laplace(loc, 2.0).to_event(1), U=Normal(0.25))
    sites = run(make_graph(priors=priors), batch)
    assert isinstance(sites["D"]["fn"].base_dist, dist.Laplace)
    assert sites["U"]["fn"].base_dist.scale.unique().tolist() == [0.25]


def test_nothing_goes_into_the_global_store(batch: Batch) -> None:
    pyro.clear_param_store()
    first, second = make_graph(seed=1), make_graph(seed=2)
    run(first, batch)
    run(second, batch)
    assert len(pyro.get_param_store()) == 0
    assert not torch.equal(first.f_e.linear.weight, second.f_e.linear.weight)


@pytest.mark.parametrize(
    "wrong", [{"latent_dim": 1}, {"sharpness": 0}, {"dropout": 1.0}, {"width": 3}, {"repeats": False}]
)
def test_refuses_shapes_that_mean_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        GraphConfig(**wrong)


@pytest.mark.parametrize("name", ["w_o", "w_r", "w_h"])
def test_the_rates_count_where_all_items_are_candidates_and_w_h_in_training(timed: EncodedDomain, name: str) -> None:
    """ω and ρ are estimated afterwards: what is trained is the softmax of the sum, also against all items once."""
    trained = as_double(make_batch(timed, num_negatives=timed.num_items))
    served = as_double(catalogue_batch(timed, all_windows(timed))[0])
    graph, moved = make_graph(), make_graph()
    with torch.no_grad():
        getattr(moved.likelihood, name).add_(1.0)
    for batch, same in ((trained, name != "w_h"), (served, name == "w_h")):
        values = latents(graph, batch)
        logits = [run(one, batch, **values)["R"]["fn"].logits for one in (graph, moved)]
        assert torch.allclose(*logits, **EXACT) == same

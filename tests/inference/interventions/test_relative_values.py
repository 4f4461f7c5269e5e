"""Nodes at a multiple of what they are, the scores along a dial, and scores given a draw."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.intervention import Scaled
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.models.graphs.paper import PreRecGraph, Weights, effect_of
from prerec_pyro.models.priors import Normal
from tests.support.models import DIM, PRIORS, TEXT_DIM, graph_config, met, small_encoded, small_graph, taken_again

ENCODED = small_encoded(num_users=6)
BATCH = next(query_batches(ENCODED, np.arange(6), domain=1))[0]
torch.manual_seed(5)
NODES = {
    "D": 0.5 * torch.randn(2, DIM),
    "V_decentered": torch.randn(ENCODED.num_items, DIM),
    "S": torch.tensor([[0.0, 0.0, 0.0, 0.0], [-0.6, 0.8, 1.5, -0.7]]),
}
CALIBRATION = Calibration(torch.tensor([2]), torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, -0.5, 1, -1]]), torch.zeros(2))


def scorer(graph, do=None, *, nodes=NODES, calibration=None, semantics="interventional") -> InterventionalScorer:
    intervention = Intervention.check(do, latent_dim=DIM, semantics=semantics)
    row = 0 if nodes is None else 1
    return InterventionalScorer(graph.eval(), ENCODED, intervention, trained=nodes, domain=row, calibration=calibration)


@pytest.mark.parametrize("edge", [False, True])
@pytest.mark.parametrize("nodes", [None, NODES], ids=["zero-shot", "trained"])
def test_the_dial_at_observed_is_the_plain_score_bit_for_bit(edge, nodes):
    one = scorer(small_graph(popularity_to_item=edge), nodes=nodes)
    stops = list(one.dial(BATCH, (0.0, 1.0, 2.0)))
    with torch.no_grad():
        S, Z = one._strengths(BATCH), one._popularity(BATCH)
        background = one.graph.background(effect_of(Z, one.graph.W_z), S, BATCH)
        plain = one.graph.mixed(one._matches(BATCH, Z, S[:, :1].exp()), background, S, BATCH)
    assert torch.equal(stops[1], plain)
    assert torch.equal(stops[1], one(BATCH))
    assert not torch.allclose(stops[0], stops[1])
    assert not torch.allclose(stops[1], stops[2])


@pytest.mark.parametrize("edge", [False, True])
@settings(deadline=None, max_examples=10)
@given(value=st.floats(-3, 3))
def test_a_stop_of_the_dial_is_a_do_with_the_same_noise(edge, value):
    graph = small_graph(popularity_to_item=edge)
    stop = next(scorer(graph).dial(BATCH, [value]))
    same = scorer(graph, {"Z": f"x{value}"}, semantics="counterfactual")
    torch.testing.assert_close(stop, same(BATCH), atol=1e-6, rtol=1e-5)


def test_the_scores_along_the_dial_are_linear_without_the_mixture():
    """score(value) = U·V + value · e^S_2 · Z·W_z."""
    graph = small_graph(wandering=False, repeats=False)
    none, once, twice = scorer(graph).dial(BATCH, (0.0, 1.0, 2.0))
    torch.testing.assert_close(twice - once, once - none, atol=1e-5, rtol=0)
    Z = graph.f_pop(BATCH.factors).detach()
    effect = (NODES["S"][1, 1] * graph.spread[1]).exp() * (Z @ graph.W_z.detach())[BATCH.candidate_level][BATCH.slot]
    torch.testing.assert_close(once - none, effect, atol=1e-5, rtol=0)


def test_at_no_popularity_a_choice_that_wanders_knows_repeats_alone():
    """All kinds of choice read the same Z: at 0 a new item that does not follow the history is any of them."""
    graph = small_graph()
    with torch.no_grad():
        graph.w_o += 50.0  # all choices wander
    found = next(scorer(graph, nodes=None).dial(BATCH, [0.0])).exp()
    new = 1 - met(BATCH)
    expected = new / new.sum(1, keepdim=True)
    again = (found * met(BATCH)).sum(1)
    counts = taken_again(BATCH)
    odds = (counts[:, 0] + 0.3 * graph.w_r.exp()) / (counts[:, 1] + 5)
    torch.testing.assert_close(again, odds / (1 + odds))
    torch.testing.assert_close(found * new, expected * (1 - again)[:, None], atol=1e-6, rtol=0)


def test_the_match_is_computed_once_where_the_graph_allows(monkeypatch):
    for edge, times in ((False, 1), (True, 4)):
        one, calls = scorer(small_graph(popularity_to_item=edge)), []
        matches = one._matches
        monkeypatch.setattr(one, "_matches", lambda *a, matches=matches, calls=calls: calls.append(1) or matches(*a))
        list(one.dial(BATCH, (0, 1, 2, 3)))
        assert len(calls) == times


def test_multiples_of_the_domain_and_of_the_strengths():
    graph = small_graph()
    for node, value in (("D", -0.4 * NODES["D"][1]), ("S", -0.4 * NODES["S"][1])):
        torch.testing.assert_close(scorer(graph, {node: Scaled(-0.4)})(BATCH), scorer(graph, {node: value})(BATCH))
        assert torch.equal(scorer(graph, {node: "x0"})(BATCH), scorer(graph, {node: 0})(BATCH))
    assert torch.equal(scorer(graph, {"S": "observed"})(BATCH), scorer(graph)(BATCH))
    zero_shot = scorer(graph, {"D": "x3", "S": "x3"}, nodes=None)
    assert torch.equal(zero_shot(BATCH), scorer(graph, nodes=None)(BATCH)), "three times their prior mean, 0"


def test_multiples_of_strengths_that_were_calibrated():
    graph = small_graph()
    plain = scorer(graph, nodes=None, calibration=CALIBRATION)(BATCH)
    assert torch.equal(scorer(graph, {"S": "observed"}, nodes=None, calibration=CALIBRATION)(BATCH), plain)
    twice = Calibration(CALIBRATION.since, 2 * CALIBRATION.values, CALIBRATION.num_queries)
    found = scorer(graph, {"S": "x2"}, nodes=None, calibration=CALIBRATION)(BATCH)
    torch.testing.assert_close(found, scorer(graph, nodes=None, calibration=twice)(BATCH))
    assert not torch.allclose(found, plain)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ({"Z": "x"}, "a multiple such as 'x0.5'"),
        ({"Z": "xnan"}, "a multiple such as 'x0.5'"),
        ({"S": Scaled(float("inf"))}, "expected a number, a tensor, 'observed' or a multiple"),
        ({"V": "observed"}, r"do\(V='observed'\): expected a number or a tensor"),
        ({"U": Scaled(2.0)}, "expected a number or a tensor"),
    ],
)
def test_multiples_that_mean_nothing_are_refused(do, message):
    with pytest.raises(InputError, match=message):
        Intervention.check(do, latent_dim=DIM)


def test_given_a_draw_the_scores_are_those_of_a_model_that_knows_it():
    graph = small_graph()
    draw = {"D": torch.randn(DIM), "S": torch.randn(4), "V_decentered": torch.randn(ENCODED.num_items, DIM)}
    nodes = {"D": draw["D"].expand(2, DIM), "S": draw["S"].expand(2, 4), "V_decentered": draw["V_decentered"]}
    expected = scorer(graph, nodes=nodes)(BATCH)
    one = scorer(graph, calibration=CALIBRATION)
    before = one(BATCH)
    assert torch.equal(one.given(draw)(BATCH), expected), "a draw of S takes the place of a calibration"
    assert torch.equal(one(BATCH), before), "the scorer itself stays as it is"
    kept = scorer(graph).given({"D": draw["D"]})
    assert torch.equal(kept(BATCH), scorer(graph, nodes=NODES | {"D": nodes["D"]})(BATCH))


def test_a_draw_of_a_lifted_weight():
    torch.manual_seed(0)
    lifted = PreRecGraph(
        graph_config(),
        num_domains=2,
        text_dim=TEXT_DIM,
        priors=dataclasses.replace(PRIORS, W_d=Normal(1.0), W_z=Normal(1.0)),
    )
    plain = small_graph()
    lifted.load_state_dict({k: v for k, v in plain.state_dict().items() if not k.startswith("W_")})
    one = InterventionalScorer(
        lifted.eval(), ENCODED, Intervention.check({}, latent_dim=DIM), weights=Weights(plain.W_d, torch.zeros(DIM))
    )
    found = one.given({"W_z": plain.W_z.detach(), "W_d": torch.ones(DIM)})(BATCH)
    assert torch.equal(found, scorer(plain, nodes=None)(BATCH))
    assert not torch.allclose(found, one(BATCH))


def test_an_intervention_outweighs_a_draw():
    graph = small_graph()
    set_ = scorer(graph, {"D": 0, "S": 0})
    assert torch.equal(set_.given({"D": torch.randn(DIM), "S": torch.randn(4)})(BATCH), set_(BATCH))
    offsets = {"V_decentered": torch.randn(ENCODED.num_items, DIM)}
    assert torch.equal(set_.given(offsets)(BATCH), set_(BATCH)), "interventional: the noise of descendants is dropped"
    same = scorer(graph, {"D": 0}, semantics="counterfactual")
    assert not torch.allclose(same.given(offsets)(BATCH), same(BATCH))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        ({"Q": torch.zeros(DIM)}, "draws of Q: this model has no such free node"),
        ({"D": torch.zeros(DIM + 1)}, r"draws of D: a draw has shape \(5,\), expected \(2, 4\)"),
        ({"V_decentered": torch.zeros(DIM)}, r"expected \(12, 4\)"),
        ({"W_z": torch.zeros(DIM)}, "draws of W_z: this model has no such free node"),
    ],
)
def test_draws_that_mean_nothing_are_refused(draw, message):
    with pytest.raises(InputError, match=message):
        scorer(small_graph()).given(draw)


def test_prerec_n_has_no_domain_to_draw():
    with pytest.raises(InputError, match="draws of D: this model has no such free node"):
        scorer(small_graph(confounders=False), nodes=None).given({"D": torch.zeros(DIM)})

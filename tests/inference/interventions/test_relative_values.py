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
from prerec_pyro.models.graphs.domain_nodes import Weights, dot
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECT_SCALE_STD
from prerec_pyro.models.likelihoods.softmax import Match
from prerec_pyro.models.priors import Normal
from tests.support.batches import effects
from tests.support.models import (
    DIM,
    PRIORS,
    EveryPath,
    PlainGraph,
    brute_force_mixture,
    repeats_so_far,
    seen_matrix,
    small_encoded,
    small_graph,
)

ENCODED = small_encoded(num_users=6)
BATCH = next(query_batches(ENCODED, np.arange(6), domain=1))[0]
NUM_EFFECTS = len(EFFECT_SCALE_STD)
torch.manual_seed(5)
NODES = {
    "D": 0.5 * torch.randn(2, DIM),
    "V_decentered": torch.randn(ENCODED.num_items, DIM),
    "S": torch.tensor([[0.0] * NUM_EFFECTS, [-0.6, 0.8, 1.5, -0.7, 0.5, -0.4]]),
}
CALIBRATION = Calibration(
    torch.tensor([2]),
    torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.5, -0.5, 1, -1, -0.5, 0.5]]),
    torch.zeros(2),
    torch.tensor(EFFECT_SCALE_STD),
)


def scorer(graph, do=None, *, nodes=NODES, calibration=None, semantics="interventional") -> InterventionalScorer:
    intervention = Intervention.check(do, graph, semantics)
    row = 0 if nodes is None else 1
    return InterventionalScorer(graph.eval(), ENCODED, intervention, trained=nodes, domain=row, calibration=calibration)


@pytest.mark.parametrize("kind", ["extended", EveryPath, "paper"], ids=["extended", "every path", "paper"])
@pytest.mark.parametrize("nodes", [None, NODES], ids=["zero-shot", "trained"])
def test_the_dial_at_observed_is_the_plain_score_bit_for_bit(kind, nodes):
    one = scorer(small_graph(graph=kind), nodes=nodes)
    stops = list(one.dial(BATCH, (0.0, 1.0, 2.0)))
    with torch.no_grad():
        here = one._by_item(BATCH)
        S, Z, likelihood = one._effect_scales(here), one._popularity(here), one.graph.likelihood
        plain = likelihood.logits(Match(one._matches(here, Z, S)), dot(Z, one.graph.W_z), S, here)
    assert torch.equal(stops[1], plain)
    assert torch.equal(stops[1], one(BATCH))
    assert not torch.allclose(stops[0], stops[1])
    assert not torch.allclose(stops[1], stops[2])


@pytest.mark.parametrize("kind", ["extended", EveryPath, "paper"], ids=["extended", "every path", "paper"])
@settings(deadline=None, max_examples=10)
@given(value=st.floats(-3, 3))
def test_a_stop_of_the_dial_is_a_do_with_the_same_noise(kind, value):
    graph = small_graph(graph=kind)
    stop = next(scorer(graph).dial(BATCH, [value]))
    same = scorer(graph, {"Z": f"x{value}"}, semantics="counterfactual")
    torch.testing.assert_close(stop, same(BATCH), atol=1e-6, rtol=1e-5)


def test_the_scores_along_the_dial_are_linear_without_the_mixture():
    """score(value) = U·V + value · Z·W_z."""
    graph = small_graph(graph=PlainGraph)
    none, once, twice = scorer(graph).dial(BATCH, (0.0, 1.0, 2.0))
    torch.testing.assert_close(twice - once, once - none, atol=1e-5, rtol=0)
    Z = graph.f_pop(BATCH.factors).detach()
    effect = (Z @ graph.W_z.detach())[BATCH.candidate_level][BATCH.slot]
    torch.testing.assert_close(once - none, effect, atol=1e-5, rtol=0)


def test_in_the_mixture_Z_is_scaled_in_both_of_its_components():
    """The dial by its definition: U·V stays, and Z·W_z times the value enters the match and the background."""
    graph = small_graph()
    S = NODES["S"][1] * torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])  # histories are read as at S = 0
    one, S = scorer(graph, nodes=NODES | {"S": S.expand(2, -1)}), S * graph.likelihood.spread
    match, popularity = effects(one, BATCH)
    rates = graph.likelihood.w_r + S[2], graph.likelihood.w_o + S[3]
    for value, found in zip((0.0, 0.5, 2.0), one.dial(BATCH, (0.0, 0.5, 2.0)), strict=True):
        rest = value * S[1].exp() * popularity
        expected = brute_force_mixture(
            S[0].exp() * match, rest.detach(), seen_matrix(BATCH), repeats_so_far(BATCH), *rates
        )
        torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-5)


def test_at_no_popularity_a_background_choice_is_any_new_item():
    """All components read the same Z: at 0 a background choice is uniform over the new items."""
    graph = small_graph()
    with torch.no_grad():
        graph.likelihood.w_o += 50.0  # all choices of new items are background choices
    found = next(scorer(graph, nodes=None).dial(BATCH, [0.0])).exp()
    new = 1 - seen_matrix(BATCH)
    expected = new / new.sum(1, keepdim=True)
    again = (found * seen_matrix(BATCH)).sum(1)
    counts = repeats_so_far(BATCH)
    odds = (counts[:, 0] + 0.3 * graph.likelihood.w_r.exp()) / (counts[:, 1] + 5)
    torch.testing.assert_close(again, odds / (1 + odds))
    torch.testing.assert_close(found * new, expected * (1 - again)[:, None], atol=1e-6, rtol=0)


def test_the_match_is_computed_once_where_the_graph_allows(monkeypatch):
    for kind, times in ((EveryPath, 1), ("extended", 1), ("paper", 4)):
        one, calls = scorer(small_graph(graph=kind)), []
        matches = one._matches
        monkeypatch.setattr(one, "_matches", lambda *a, matches=matches, calls=calls: calls.append(1) or matches(*a))
        list(one.dial(BATCH, (0, 1, 2, 3)))
        assert len(calls) == times


def test_multiples_of_the_domain_and_of_the_effect_scales():
    graph = small_graph()
    for node, value in (("D", -0.4 * NODES["D"][1]), ("S", -0.4 * NODES["S"][1])):
        torch.testing.assert_close(scorer(graph, {node: Scaled(-0.4)})(BATCH), scorer(graph, {node: value})(BATCH))
        assert torch.equal(scorer(graph, {node: "x0"})(BATCH), scorer(graph, {node: 0})(BATCH))
    assert torch.equal(scorer(graph, {"S": "observed"})(BATCH), scorer(graph)(BATCH))
    zero_shot = scorer(graph, {"D": "x3", "S": "x3"}, nodes=None)
    assert torch.equal(zero_shot(BATCH), scorer(graph, nodes=None)(BATCH)), "three times their prior mean, 0"


def test_multiples_of_effect_scales_that_were_calibrated():
    graph = small_graph()
    plain = scorer(graph, nodes=None, calibration=CALIBRATION)(BATCH)
    assert torch.equal(scorer(graph, {"S": "observed"}, nodes=None, calibration=CALIBRATION)(BATCH), plain)
    twice = Calibration(CALIBRATION.since, 2 * CALIBRATION.values, CALIBRATION.num_queries, CALIBRATION.spread)
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
        Intervention.check(do, small_graph())


def test_given_a_draw_the_scores_are_those_of_a_model_that_knows_it():
    graph = small_graph()
    draw = {"D": torch.randn(DIM), "S": torch.randn(NUM_EFFECTS), "V_decentered": torch.randn(ENCODED.num_items, DIM)}
    nodes = {"D": draw["D"].expand(2, DIM), "S": draw["S"].expand(2, -1), "V_decentered": draw["V_decentered"]}
    expected = scorer(graph, nodes=nodes)(BATCH)
    one = scorer(graph, calibration=CALIBRATION)
    before = one(BATCH)
    assert torch.equal(one.given(draw)(BATCH), expected), "a draw of S takes the place of a calibration"
    assert torch.equal(one(BATCH), before), "the scorer itself stays as it is"
    kept = scorer(graph).given({"D": draw["D"]})
    assert torch.equal(kept(BATCH), scorer(graph, nodes=NODES | {"D": nodes["D"]})(BATCH))


def test_a_draw_of_a_lifted_weight():
    torch.manual_seed(0)
    lifted = small_graph(priors=dataclasses.replace(PRIORS, W_d=Normal(1.0), W_z=Normal(1.0)))
    plain = small_graph()
    lifted.load_state_dict({k: v for k, v in plain.state_dict().items() if not k.startswith("W_")})
    one = InterventionalScorer(lifted.eval(), ENCODED, Intervention({}), weights=Weights(plain.W_d, torch.zeros(DIM)))
    found = one.given({"W_z": plain.W_z.detach(), "W_d": torch.ones(DIM)})(BATCH)
    assert torch.equal(found, scorer(plain, nodes=None)(BATCH))
    assert not torch.allclose(found, one(BATCH))


def test_an_intervention_outweighs_a_draw():
    graph = small_graph()
    set_ = scorer(graph, {"D": 0, "S": 0})
    assert torch.equal(set_.given({"D": torch.randn(DIM), "S": torch.randn(NUM_EFFECTS)})(BATCH), set_(BATCH))
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
        scorer(small_graph(graph="unconfounded"), nodes=None).given({"D": torch.zeros(DIM)})

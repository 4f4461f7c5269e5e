"""The back-door adjustment in full, against closed forms, and what draws are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.backdoor import AveragedScorer
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.prior.draws import prior_draws
from prerec_pyro.models.priors import Laplace, Normal, Priors, StudentT
from tests.support.models import DIM, PRIORS, EveryPath, PlainGraph, small_encoded, small_graph

ENCODED = small_encoded(num_users=6)
PAIR = small_encoded("pair", num_items=2, num_users=4)


def scorer(graph, do=None, encoded=ENCODED) -> InterventionalScorer:
    return InterventionalScorer(graph.eval(), encoded, Intervention.check(do, graph))


def batch(encoded=ENCODED):
    return next(query_batches(encoded, np.arange(4)))[0]


def linear():
    """f_seq without its blocks: U is the last item plus D plus the place in the sequence, times a length."""
    graph = small_graph(graph=PlainGraph)
    with torch.no_grad():
        graph.f_seq.log_length += math.log(12.0)  # so sharp that the average differs from the shortcut
        for block in graph.f_seq.blocks:
            for layer in (block.attention_out, block.contract):
                layer.weight.zero_()
                layer.bias.zero_()
    return graph


@pytest.mark.parametrize("sampling", ["monte-carlo", "sobol"])
@pytest.mark.parametrize("kind", [EveryPath, "extended", "paper", PlainGraph])
def test_where_D_reaches_the_choice_through_the_items_alone_the_average_is_the_shortcut(kind, sampling):
    """With U set, D moves all items by the same vector, which cancels in the softmax: eq. 5's shortcut is exact."""
    graph, do = small_graph(graph=kind), {"U": torch.linspace(-1, 1, DIM)}
    draws = prior_draws(graph, 8, sampling=sampling)
    found = AveragedScorer(scorer(graph, do), draws)(batch())
    torch.testing.assert_close(found, scorer(graph, do)(batch()).log_softmax(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("sampling", "num_draws", "error"), [("monte-carlo", 256, 0.06), ("sobol", 256, 0.01)])
def test_it_converges_to_the_integral_over_D(sampling, num_draws, error):
    """Two items and a linear f_seq: P(first) is E σ(a + b·D), a logistic-normal integral, done by quadrature."""
    graph = linear()
    here = batch(PAIR)
    shortcut = scorer(graph, encoded=PAIR)(here)
    a = (shortcut[:, 0] - shortcut[:, 1]).double()
    text = graph.f_e(PAIR.texts).detach().double()
    length = graph.f_seq.log_length.exp().item()
    spread = length * (text[0] - text[1]).norm().item() * PRIORS.D.scale  # of b·D
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    at = torch.sigmoid(a[:, None] + spread * torch.from_numpy(nodes))  # (num_queries, num_nodes)
    exact = at @ torch.from_numpy(weights / weights.sum())
    average = AveragedScorer(scorer(graph, encoded=PAIR), prior_draws(graph, num_draws, sampling=sampling, seed=1))
    found = average(here)[:, 0].exp().double()
    assert (found - exact).abs().max() < error
    assert (shortcut.softmax(1)[:, 0] - exact).abs().max() > 0.1, "the shortcut is something else"


def test_it_is_the_mean_of_the_choice_probabilities_under_the_mixture():
    graph = small_graph()
    draws = prior_draws(graph, 5, nodes=("D", "S"))
    one = scorer(graph)
    by_hand = [one.given({"D": draws["D"][i], "S": draws["S"][i]})(batch()).softmax(1) for i in range(5)]
    found = AveragedScorer(one, draws)(batch())
    torch.testing.assert_close(found.exp(), torch.stack(by_hand).mean(0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(len(found)), atol=1e-5, rtol=0)


def test_one_draw_at_the_prior_mean_is_the_shortcut():
    graph = small_graph()
    found = AveragedScorer(scorer(graph), {"D": torch.zeros(1, DIM)})(batch())
    torch.testing.assert_close(found, scorer(graph)(batch()).log_softmax(1))


def test_item_vectors_are_averaged():
    graph = small_graph()
    draws = prior_draws(graph, 3)
    one = scorer(graph)
    expected = torch.stack([one.given({"D": D}).item_vectors_at_end() for D in draws["D"]]).mean(0)
    torch.testing.assert_close(AveragedScorer(one, draws).item_vectors_at_end(), expected)


@pytest.mark.parametrize("sampling", ["monte-carlo", "sobol"])
@pytest.mark.parametrize(
    ("prior", "cdf"), [(Normal(0.3), stats.norm(0, 0.3).cdf), (Laplace(2.0), stats.laplace(0, 2).cdf)]
)
def test_draws_follow_the_prior(prior, cdf, sampling):
    graph = small_graph()
    graph.priors = Priors(D=prior)
    D = prior_draws(graph, 2048, sampling=sampling)["D"]
    assert D.shape == (2048, DIM)
    for column in D.T:
        assert stats.kstest(column.numpy(), cdf).pvalue > 1e-3
    again = prior_draws(graph, 2048, sampling=sampling)["D"]
    assert torch.equal(D, again)
    assert not torch.equal(D, prior_draws(graph, 2048, sampling=sampling, seed=1)["D"])


@settings(deadline=None, max_examples=20)
@given(num_draws=st.integers(1, 64), seed=st.integers(0, 2**31 - 1))
def test_sobol_points_have_the_mean_of_the_prior(num_draws, seed):
    D = prior_draws(small_graph(), num_draws, sampling="sobol", seed=seed)["D"]
    assert torch.isfinite(D).all()
    if math.log2(num_draws).is_integer() and num_draws > 1:  # nets: each half of an axis holds half of the points
        assert ((D > 0).float().mean(0) == 0.5).all()


def test_the_random_numbers_of_the_program_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    prior_draws(small_graph(), 4)
    torch.manual_seed(0)
    for sampling in ("monte-carlo", "sobol"):
        graph = small_graph()
        torch.manual_seed(0)
        prior_draws(graph, 4, sampling=sampling)
        assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"num_draws": 0}, "num_draws is 0, expected 1 or more"),
        ({"sampling": "halton"}, "expected 'auto', 'monte-carlo' or 'sobol'"),
        ({"nodes": ("D", "V")}, "prior draws of V: expected some of D, S"),
    ],
)
def test_what_means_nothing_is_refused(asked, message):
    with pytest.raises(InputError, match=message):
        prior_draws(small_graph(), **({"num_draws": 4} | asked))


def test_a_prior_without_quantiles_is_refused_for_sobol_points():
    graph = small_graph()
    graph.priors = Priors(D=StudentT(df=4, scale=0.1))
    with pytest.raises(InputError, match="the prior of D has no inverse"):
        prior_draws(graph, 4, sampling="sobol")
    assert torch.equal(prior_draws(graph, 4)["D"], prior_draws(graph, 4, sampling="monte-carlo")["D"])


def test_sobol_points_are_taken_where_the_prior_has_quantiles():
    assert torch.equal(prior_draws(small_graph(), 4)["D"], prior_draws(small_graph(), 4, sampling="sobol")["D"])


@pytest.mark.parametrize(
    ("kind", "nodes", "message"),
    [
        ("unconfounded", ("D",), "prior draws of D: of D and S the graph of this model has none"),
        ("unconfounded", ("D", "S"), "prior draws of D, S: of D and S the graph of this model has none"),
        ("paper", ("S",), "prior draws of S: of D and S the graph of this model has D"),
    ],
)
def test_a_graph_without_the_node_has_nothing_to_draw(kind, nodes, message):
    with pytest.raises(InputError, match=message):
        prior_draws(small_graph(graph=kind), 4, nodes=nodes)


@pytest.mark.parametrize("draws", [{}, {"D": torch.zeros(0, DIM)}, {"D": torch.zeros(2, DIM), "S": torch.zeros(3, 4)}])
def test_numbers_of_draws_must_match(draws):
    with pytest.raises(InputError, match="expected one or more of each site, the same number of all"):
        AveragedScorer(scorer(small_graph()), draws)

"""Approximate lists: exact if all items are candidates, nearly exact if few are, popular items included."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.histories import known_users
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.ranking import approximate
from prerec_pyro.ranking import lists as ranking
from prerec_pyro.ranking.approximate import ApproximateTopK, Approximation
from prerec_pyro.ranking.exact import ScoreFactors, StreamingTopK
from prerec_pyro.ranking.lists import recommendations
from prerec_pyro.ranking.users import InterestMixture, Users
from tests.ranking.test_exact import assert_lists, dense, worlds
from tests.support.models import small_encoded, small_graph

pytest.importorskip("faiss")


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(1, 40))
def test_with_all_items_as_candidates_lists_are_exact(world, k):
    factors, users, seen, hidden = world
    k = min(k, len(factors.items))
    most = users.points().shape[1]
    lists = ApproximateTopK(factors, users, probes=100 * most, candidates=len(factors.items) * most)
    assert_lists(lists(users, k, seen=seen, hidden=hidden), factors, users, dense(factors, users, seen, hidden))


@pytest.fixture(scope="module")
def market() -> tuple[ScoreFactors, Users]:
    """20,000 items around 400 topics with Zipf popularity, and 64 users, each near an item."""
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    items = torch.randn(400, 32, generator=generator)[torch.from_numpy(rng.integers(0, 400, 20_000))]
    items = torch.nn.functional.normalize(items + 0.4 * torch.randn(items.shape, generator=generator), dim=1)
    users = Users(10.0 * items[torch.from_numpy(rng.integers(0, 20_000, 64))])
    counts = np.bincount(rng.zipf(1.3, 40_000) % 20_000, minlength=20_000)
    return ScoreFactors(items, torch.from_numpy(0.3 * np.log1p(counts).astype(np.float32)), None, -1.5), users


def test_few_cells_find_nearly_all_items(market):
    factors, users = market
    exact = StreamingTopK(factors)(users, 10)
    found = []
    for probes in (2, 16):
        lists = ApproximateTopK(factors, users, probes)
        assert lists._index.nprobe < lists._index.nlist / 10
        best, index = lists(users, 10)
        found.append(share_found(exact[1], index))
        assert (best[:, :-1] >= best[:, 1:]).all()
    assert found[1] > 0.97
    assert found[0] < found[1], "the number of cells matters"
    same = exact[1] == index  # scores are exact, except for the sampled part of a normaliser
    assert (best - exact[0])[same].abs().max() < 0.25
    assert (best - exact[0])[same].abs().median() < 0.02


def share_found(exact: torch.Tensor, found: torch.Tensor) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(exact.tolist(), found.tolist(), strict=True)]))


def test_items_near_any_interest_are_found(market):
    """Users with four interests in unlike topics; around their mean there is nothing."""
    factors, _ = market
    generator = torch.Generator().manual_seed(2)
    read, ones = torch.randint(0, 20_000, (64, 4), generator=generator), torch.ones(64, 1)
    weights = (-0.3 * torch.arange(4.0)).softmax(0).expand(64, -1)
    mixture = InterestMixture(factors.items, read, weights, 6.0 * ones, 10.0 * ones)
    users = Users(0.3 * torch.randn(64, 32, generator=generator), mixture)
    exact = StreamingTopK(factors)(users, 10)[1]
    found = ApproximateTopK(factors, users, 64)(users, 10)[1]
    assert share_found(exact, found) > 0.95
    mean = Users(users.vectors + 10.0 * (weights[..., None] * factors.items[read]).sum(1))
    assert share_found(exact, StreamingTopK(factors)(mean, 10)[1]) < 0.8, "the mean is no substitute"


def test_an_item_that_is_only_popular_is_found(market):
    """The most popular item is far from the user; with a large background rate its popularity puts it on the list."""
    factors, users = market
    star = 17
    popularity = factors.popularity.clone()
    popularity[star] = popularity.max() + 8.0
    items = factors.items.clone()
    items[star] = -users.vectors[0] / users.vectors[0].norm()
    background = ScoreFactors(items, popularity, None, 2.0)
    exact, found = (
        lists(users[:1], 10)[1] for lists in (StreamingTopK(background), ApproximateTopK(background, users, 1))
    )
    assert int(exact[0, 0]) == int(found[0, 0]) == star


def test_the_index_is_kept_and_its_recall_measured_once(monkeypatch, caplog):
    encoded = small_encoded(num_items=60, num_users=30)
    graph = small_graph(1).eval()
    scorer = InterventionalScorer(graph, encoded, Intervention({}))
    other_scorer = InterventionalScorer(graph, encoded, Intervention.check({"Z": 0}, graph))
    users = known_users(encoded, None, None)
    exact = recommendations(scorer, encoded, users, 5, drop_seen=True)
    monkeypatch.setattr(ranking, "MANY_ITEMS", 1)
    built = []
    whole = approximate._inverted_file
    monkeypatch.setattr(approximate, "_inverted_file", lambda *given: built.append(1) or whole(*given))
    approximation = Approximation(probes=1000)
    with caplog.at_level("INFO"):
        for _ in range(2):
            lists = recommendations(scorer, encoded, users, 5, drop_seen=True, approximation=approximation)
    assert (len(built), approximation.recall) == (1, 1.0)
    assert caplog.messages == [
        "approximate lists, 1000 cells per user: 100.0 % of the exact lists found (30 users, top 5)"
    ]
    assert lists["item_id"].tolist() == exact["item_id"].tolist()
    np.testing.assert_allclose(lists["score"], exact["score"], atol=1e-5)
    other = recommendations(other_scorer, encoded, users, 5, drop_seen=True, approximation=approximation)
    assert len(built) == 2, "other factors need another index"
    assert other["item_id"].tolist() != exact["item_id"].tolist()


def test_items_in_another_order_need_another_index(market):
    factors, users = market
    order = torch.arange(len(factors.items)).flip(0)
    others = (
        ScoreFactors(factors.items[order], factors.popularity, None, -1.5),
        ScoreFactors(factors.items, factors.popularity[order], None, -1.5),
        ScoreFactors(factors.items, factors.popularity, None, -1.4),
    )
    approximation = Approximation(probes=1)
    kept = approximation.top_k_of(factors, users)
    assert approximation.top_k_of(factors, users) is kept
    for other in others:
        assert approximation.top_k_of(other, users) is not kept
        assert approximation.top_k_of(other, users).factors is other


def test_probes_below_one_and_a_missing_faiss_are_refused(monkeypatch):
    with pytest.raises(InputError, match="probes is 0, expected 1 or more cells"):
        Approximation(0)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"pip install 'prerec-pyro\[ann\]'"):
        ApproximateTopK(ScoreFactors(torch.zeros(9, 2)), Users(torch.zeros(1, 2)), 1)

"""Lists of the catalogue prepared once equal those of the dense scores, for all ties, mixtures and interests."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.histories import known_users
from prerec_pyro.data.batching.repeats import SeenItems
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.models.likelihoods.repeat_mixture import RepeatMixture
from prerec_pyro.ranking import exact
from prerec_pyro.ranking import lists as ranking
from prerec_pyro.ranking.exact import BLOCK_QUERIES, MAX_SCORES, FactoredScorer, ScoreFactors, StreamingTopK
from prerec_pyro.ranking.lists import recommendations, streamed_lists, top_lists
from prerec_pyro.ranking.pairs import Pairs
from prerec_pyro.ranking.users import InterestMixture, Users
from prerec_pyro.recommenders.baseline_scorer import TextScorer
from tests.support.models import DIM, EveryPath, PlainGraph, brute_force_mixture, small_encoded, small_graph

ENCODED = small_encoded(num_users=9)


def dense(factors: ScoreFactors, users: Users, seen: SeenItems, hidden: Pairs) -> torch.Tensor:
    """The scores of every item, in double precision, written as they are defined."""
    items = factors.items.double()
    match = users.vectors.double() @ items.mT
    if users.interests is not None:
        own = users.interests
        products = torch.einsum("qad,jd->qaj", own.items[own.read].double(), items)
        mixed = (own.weights.double().log()[..., None] + own.contrast.double()[..., None] * products).logsumexp(1)
        match = match + own.scale.double() / own.contrast.double() * mixed
    background = torch.zeros_like(match) + factors.background.double()
    scores = match + background
    if factors.background_odds is not None or factors.repeat is not None:
        is_seen = torch.zeros_like(match)
        is_seen[seen.rows, seen.items] = 1
        counts = torch.from_numpy(seen.counts).double()
        scores = brute_force_mixture(match, background, is_seen, counts, factors.repeat, factors.background_odds)
    scores[hidden] = -torch.inf
    return scores


@st.composite
def worlds(draw):
    """Factors with many equal backgrounds and products: multiples of one half, so that sums are exact and ties stay."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_queries, num_items, dim = draw(st.integers(1, 4)), draw(st.integers(1, 40)), draw(st.integers(1, 3))

    def halves(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(-3, 4, shape) / 2.0)

    levels = halves(draw(st.integers(1, 6)))
    popularity = levels[torch.from_numpy(rng.integers(0, len(levels), num_items))] if draw(st.booleans()) else None
    again, wander = draw(st.sampled_from([None, 1.5, -2.0])), draw(st.sampled_from([None, -3.0, 0.0, 2.0]))
    factors = ScoreFactors(halves(num_items, dim), popularity, again, wander)
    known, hidden = (rng.random((num_queries, num_items)) < draw(st.sampled_from([0.0, 0.3])) for _ in "kh")
    known[:, rng.integers(num_items)] = True  # a history has one item at least
    seen = SeenItems(*np.nonzero(known), rng.integers(0, 5, (num_queries, 2)).astype(np.float32))
    mixture, most = None, draw(st.integers(0, 3))
    if most:
        read = torch.from_numpy(rng.integers(0, num_items, (num_queries, most)))
        ones = torch.ones(num_queries, 1, dtype=torch.float64)
        mixture = InterestMixture(factors.items, read, ones.expand(-1, most) / most, 2.0 * ones, 3.0 * ones)
    return factors, Users(halves(num_queries, dim), mixture), seen, tuple(np.nonzero(hidden))


@settings(max_examples=300, deadline=None)
@given(worlds(), st.integers(1, 40), st.sampled_from([1, 30, 1 << 18]))
def test_lists_equal_those_of_the_dense_scores(world, k, block):
    factors, users, seen, hidden = world
    k = min(k, len(factors.items))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "BLOCK_SCORES", block)
        streaming = StreamingTopK(factors)
        lists = streaming(users, k, seen=seen, hidden=hidden)
        again = streaming(users, k, seen=seen, hidden=hidden)
    assert_lists(lists, factors, users, dense(factors, users, seen, hidden))
    assert all(torch.equal(one, other) for one, other in zip(lists, again, strict=True)), "its memory is used again"


def assert_lists(
    lists: tuple[torch.Tensor, torch.Tensor], factors: ScoreFactors, users: Users, scores: torch.Tensor
) -> None:
    """The lists are those of the scores; among equal scores of a mixture, rounding decides the order."""
    best, index = lists
    k = index.shape[1]
    expected, order = scores.sort(dim=1, descending=True, stable=True)
    listed = torch.isfinite(expected[:, :k])
    torch.testing.assert_close(best, expected[:, :k], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(scores.gather(1, index)[listed], expected[:, :k][listed], rtol=1e-10, atol=1e-10)
    assert all(len(set(row[mask].tolist())) == mask.sum() for row, mask in zip(index, listed, strict=True))
    if not factors.is_mixture and users.interests is None:
        assert torch.equal(index[listed], order[:, :k][listed])


def test_users_times_items_are_bounded():
    for num_items in (1, 1 << 16, 1 << 20, 1 << 26):
        block = StreamingTopK(ScoreFactors(torch.zeros(num_items, 0))).block_queries(20)
        assert block == max(1, min(BLOCK_QUERIES, MAX_SCORES // num_items))


def test_equal_scores_of_a_mixture_are_in_order_of_the_item_index():
    """Single precision, rows of any length: equal items get equal scores wherever they stand."""
    generator = torch.Generator().manual_seed(0)
    for num_items in (37, 1000, 1003):
        items = torch.randint(-3, 4, (num_items, 8), generator=generator) / 2.0  # whose products are exact
        items[5, 0] = 2.0
        same = torch.arange(5, num_items, 31)
        items[same] = 2.0 * items[5].clone()
        factors = ScoreFactors(items, torch.zeros(num_items), None, -1.0)
        best, index = StreamingTopK(factors)(Users(items[5:6].clone()), min(len(same), 20))
        assert index[0].tolist() == same[:20].tolist()
        assert best.unique().numel() == 1


def test_single_precision_gives_the_same_lists_if_scores_are_apart():
    generator = torch.Generator().manual_seed(0)
    users, items = Users(torch.randn(8, 16, generator=generator)), torch.randn(3000, 16, generator=generator)
    popularity = torch.randint(0, 4, (3000,), generator=generator).float()
    seen = SeenItems(np.arange(8), np.arange(8) * 100, np.ones((8, 2), np.float32))
    wide = dense(ScoreFactors(items, popularity, 0.0, -1.0), users, seen, (np.empty(0, np.int64),) * 2)
    best, index = StreamingTopK(ScoreFactors(items, popularity, 0.0, -1.0))(users, 20, seen=seen)
    expected, order = wide.sort(dim=1, descending=True, stable=True)
    torch.testing.assert_close(best.double(), expected[:, :20], rtol=1e-5, atol=1e-5)
    assert torch.equal(index, order[:, :20])


GENERATOR = torch.Generator().manual_seed(1)
NUM_EFFECTS = 6
CASES = {  # graph, intervention, and whether the domain is a trained one
    "every path": (EveryPath, None, True),
    "zero-shot": (EveryPath, None, False),
    "extended": ("extended", None, True),
    "unconfounded": ("unconfounded", None, True),
    "one softmax": (PlainGraph, None, True),
    "paper, with Z to V": ("paper", None, True),
    "do Z": (EveryPath, {"Z": 0}, True),
    "do Z by item": (EveryPath, {"Z": torch.randn(ENCODED.num_items, DIM, generator=GENERATOR)}, True),
    "do U": (EveryPath, {"U": torch.ones(DIM)}, True),
    "do S": (EveryPath, {"S": torch.tensor([0.5, -0.5, 1.0, 0.3, 0.8, -0.6])}, False),
    "one interest": (EveryPath, {"S": torch.tensor([0.5, -0.5, 1.0, 0.3])}, False),
}


def make_scorer(case: str, calibration: Calibration | None = None) -> InterventionalScorer:
    kind, do, is_trained = CASES[case]
    graph = small_graph(graph=kind, **({"num_interests": 1} if case == "one interest" else {}))
    if isinstance(graph.likelihood, RepeatMixture):
        graph.likelihood.w_o.fill_(-0.7)
    torch.manual_seed(5)
    nodes = {"V_decentered": torch.randn(ENCODED.num_items, DIM)}
    nodes |= {node: 0.5 * torch.randn(2, width) for node, width in graph.domain_widths.items()}
    intervention = Intervention.check(do, graph)
    return InterventionalScorer(
        graph.eval(), ENCODED, intervention, trained=nodes if is_trained else None, domain=1, calibration=calibration
    )


def assert_streamed_and_dense_lists_agree(scorer, monkeypatch, drop_seen: bool) -> None:
    assert isinstance(scorer, FactoredScorer)
    monkeypatch.setattr(StreamingTopK, "block_queries", lambda self, k: 4)
    histories = known_users(ENCODED, None, None, 3)  # a recommender reads three items, but all are seen
    for k in (3, 100):
        query = (scorer, ENCODED, histories, k)
        expected = recommendations(*query, drop_seen=drop_seen)
        parts = list(streamed_lists(*query, drop_seen=drop_seen))
        assert [rows.start for rows, _ in parts] == [0, 4, 8]
        monkeypatch.setattr(ranking, "MANY_ITEMS", 1)
        monkeypatch.setattr(ranking, "MANY_SCORES", 1)
        found = recommendations(*query, drop_seen=drop_seen)
        monkeypatch.setattr(ranking, "MANY_ITEMS", 1 << 60)
        assert found[["user_id", "item_id", "rank"]].equals(expected[["user_id", "item_id", "rank"]])
        np.testing.assert_allclose(found["score"], expected["score"], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("drop_seen", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_a_model_gives_the_same_lists_streamed_and_dense(case, drop_seen, monkeypatch):
    assert_streamed_and_dense_lists_agree(make_scorer(case), monkeypatch, drop_seen)


def test_a_calibrated_model_gives_the_same_lists_streamed_and_dense(monkeypatch):
    values = torch.tensor([[0.0] * NUM_EFFECTS, [0.3, -0.4, 1.1, 0.6, -0.5, 0.4]])
    S = Calibration(torch.tensor([0]), values, torch.tensor([0, 9]), torch.ones(NUM_EFFECTS))
    assert_streamed_and_dense_lists_agree(make_scorer("zero-shot", S), monkeypatch, True)


def test_a_baseline_gives_the_same_lists_streamed_and_dense(monkeypatch):
    class Module(torch.nn.Module):
        def items(self, texts, rows):
            return texts

        def users(self, history, positions):
            return history.flatten(0, 1)[positions]

    rows = torch.full((ENCODED.num_items,), -1)
    assert_streamed_and_dense_lists_agree(TextScorer(Module(), ENCODED, rows, torch.device("cpu")), monkeypatch, True)


def test_few_items_are_scored_densely(monkeypatch):
    monkeypatch.setattr(ranking, "streamed_lists", lambda *_, **__: pytest.fail("dense scores suffice"))
    histories = known_users(ENCODED, None, None)
    assert len(list(top_lists(make_scorer("extended"), ENCODED, histories, 3, drop_seen=True))) > 0

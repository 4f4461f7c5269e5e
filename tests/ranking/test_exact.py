"""Lists made block by block equal those of the dense scores, for all blocks, ties and mixtures."""

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
from prerec_pyro.ranking import lists as ranking
from prerec_pyro.ranking.exact import BLOCK_QUERIES, MAX_KEPT, FactoredScorer, ScoreFactors, StreamingTopK
from prerec_pyro.ranking.lists import recommendations, streamed_lists, top_lists
from prerec_pyro.ranking.pairs import Pairs
from prerec_pyro.recommenders.baseline_scorer import TextScorer
from tests.support.models import DIM, EveryPath, PlainGraph, brute_force_mixture, small_encoded, small_graph

ENCODED = small_encoded(num_users=9)


def dense(factors: ScoreFactors, users: torch.Tensor, seen: SeenItems, hidden: Pairs) -> torch.Tensor:
    """The scores of every item, in double precision, written as they are defined."""
    match = users.double() @ factors.items.double().mT
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
    return factors, halves(num_queries, dim), seen, tuple(np.nonzero(hidden))


@settings(max_examples=300, deadline=None)
@given(worlds(), st.integers(1, 40), st.integers(1, 9), st.integers(1, 8))
def test_lists_equal_those_of_the_dense_scores(world, k, block_items, common):
    factors, users, seen, hidden = world
    k = min(k, len(factors.items))
    streaming = StreamingTopK(factors, block_items=block_items, common=common)
    assert_lists(streaming(users, k, seen=seen, hidden=hidden), factors, dense(factors, users, seen, hidden))


def assert_lists(lists: tuple[torch.Tensor, torch.Tensor], factors: ScoreFactors, scores: torch.Tensor) -> None:
    """The lists are those of the scores; among equal scores of a mixture, rounding decides the order."""
    best, index = lists
    k = index.shape[1]
    expected, order = scores.sort(dim=1, descending=True, stable=True)
    listed = torch.isfinite(expected[:, :k])
    torch.testing.assert_close(best, expected[:, :k], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(scores.gather(1, index)[listed], expected[:, :k][listed], rtol=1e-10, atol=1e-10)
    assert all(len(set(row[mask].tolist())) == mask.sum() for row, mask in zip(index, listed, strict=True))
    if factors.background_odds is None and factors.repeat is None:
        assert torch.equal(index[listed], order[:, :k][listed])


def test_a_block_holds_one_background_or_the_rare_ones():
    popularity = torch.tensor([2.0, 0.0, 1.0, 0.0, 5.0, 0.0, 1.0, 0.0, 1.0])
    streaming = StreamingTopK(ScoreFactors(torch.zeros(9, 1), popularity), block_items=3, common=3)
    assert streaming.num_rare == 2
    assert streaming.index.tolist() == [0, 4, 1, 3, 5, 7, 2, 6, 8]
    assert [(begin, end) for begin, end in streaming._blocks] == [(0, 2), (2, 5), (5, 6), (6, 9)]


def test_blocks_have_fewer_users_if_all_backgrounds_differ():
    many = 1 << 19
    same = StreamingTopK(ScoreFactors(torch.zeros(many, 1), torch.zeros(many)))
    differ = StreamingTopK(ScoreFactors(torch.zeros(many, 1), torch.arange(float(many))))
    assert same.block_queries(20) == BLOCK_QUERIES
    assert differ.block_queries(20) == MAX_KEPT // (many + 20 * 64)


def test_single_precision_gives_the_same_lists_if_scores_are_apart():
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(8, 16, generator=generator), torch.randn(3000, 16, generator=generator)
    popularity = torch.randint(0, 4, (3000,), generator=generator).float()
    seen = SeenItems(np.arange(8), np.arange(8) * 100, np.ones((8, 2), np.float32))
    wide = dense(ScoreFactors(items, popularity, 0.0, -1.0), users, seen, (np.empty(0, np.int64),) * 2)
    streaming = StreamingTopK(ScoreFactors(items, popularity, 0.0, -1.0), block_items=256, common=100)
    best, index = streaming(users, 20, seen=seen)
    expected, order = wide.sort(dim=1, descending=True, stable=True)
    torch.testing.assert_close(best.double(), expected[:, :20], rtol=1e-5, atol=1e-5)
    assert torch.equal(index, order[:, :20])


GENERATOR = torch.Generator().manual_seed(1)
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
    "do S": (EveryPath, {"S": torch.tensor([0.5, -0.5, 1.0, 0.3])}, False),
}


def make_scorer(case: str, calibration: Calibration | None = None) -> InterventionalScorer:
    kind, do, is_trained = CASES[case]
    graph = small_graph(graph=kind)
    if isinstance(graph.likelihood, RepeatMixture):
        graph.likelihood.w_o.fill_(-0.7)
    torch.manual_seed(5)
    nodes = {"V_decentered": torch.randn(ENCODED.num_items, DIM)}
    nodes |= {node: 0.5 * torch.randn(2, width) for node, width in graph.domain_widths.items()}
    intervention = Intervention.check(do, graph)
    return InterventionalScorer(
        graph.eval(), ENCODED, intervention, trained=nodes if is_trained else None, domain=1, calibration=calibration
    )


def same_lists(scorer, monkeypatch, drop_seen: bool) -> None:
    assert isinstance(scorer, FactoredScorer)
    monkeypatch.setattr(ranking, "StreamingTopK", lambda factors: StreamingTopK(factors, block_items=5, common=2))
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
    same_lists(make_scorer(case), monkeypatch, drop_seen)


def test_a_calibrated_model_gives_the_same_lists_streamed_and_dense(monkeypatch):
    values = torch.tensor([[0.0] * 4, [0.3, -0.4, 1.1, 0.6]])
    S = Calibration(torch.tensor([0]), values, torch.tensor([0, 9]), torch.ones(4))
    same_lists(make_scorer("zero-shot", S), monkeypatch, True)


def test_a_baseline_gives_the_same_lists_streamed_and_dense(monkeypatch):
    class Module(torch.nn.Module):
        def items(self, texts, rows):
            return texts

        def users(self, history, positions):
            return history.flatten(0, 1)[positions]

    rows = torch.full((ENCODED.num_items,), -1)
    same_lists(TextScorer(Module(), ENCODED, rows, torch.device("cpu")), monkeypatch, True)


def test_few_items_are_scored_densely(monkeypatch):
    monkeypatch.setattr(ranking, "streamed_lists", lambda *_, **__: pytest.fail("dense scores suffice"))
    histories = known_users(ENCODED, None, None)
    assert len(list(top_lists(make_scorer("extended"), ENCODED, histories, 3, drop_seen=True))) > 0

"""Ranks and lists by way of cheap probabilities equal those of the scores, to the last tie."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation import ranks as module
from prerec_pyro.evaluation.metrics import target_ranks
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.evaluation.ranks import ranks_and_lists
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.ranking.top_k import top_k
from tests.ranking.test_screening import draw
from tests.support.models import EveryPath, small_domain, small_graph

NUM_EFFECTS = 6


def world(seed: int, *, timed: bool, twins: bool) -> EncodedDomain:
    """Users of 2 to 8 events, many repeats; with `twins`, items come in threes with one text, which tie."""
    domain = small_domain(num_items=30, num_users=12, seed=seed, timestamps=timed)
    if twins:
        domain = dataclasses.replace(domain, embeddings=domain.embeddings[np.arange(30) // 3])
    return encode_domain(domain, window=3)


def scorer_of(encoded: EncodedDomain, seed: int, kind: str) -> InterventionalScorer:
    """Return a scorer whose S changes within a batch if it is calibrated."""
    graph = small_graph(seed=seed, graph="paper" if kind == "paper" else EveryPath).eval()
    calibration = None
    if kind == "calibrated":
        values = torch.randn(4, NUM_EFFECTS, generator=torch.Generator().manual_seed(seed))
        calibration = Calibration(torch.tensor([2, 4, 7]), values, torch.zeros(4), torch.full((NUM_EFFECTS,), 0.5))
    elif kind != "paper":
        graph.likelihood.w_o.fill_(-1.0)
    do = {"Z": 0} if kind == "no popularity" else {"U": 0} if kind == "no match" else None
    return InterventionalScorer(graph, encoded, Intervention.check(do, graph), calibration=calibration)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def assert_same(scorer, batch: Batch, k: int) -> None:
    scores = scorer(batch)
    ranks, shown = ranks_and_lists(scorer, batch, batch.targets, k, generator())
    expected = target_ranks(scores, batch.targets)
    assert torch.equal(ranks.above, expected.above)
    assert torch.equal(ranks.ties, expected.ties)
    assert torch.equal(shown.sort(1).values, top_k(scores, k, generator())[1].sort(1).values)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    timed=st.booleans(),
    twins=st.booleans(),
    kind=st.sampled_from(["plain", "calibrated", "no popularity", "no match", "paper"]),
    k=st.sampled_from([1, 5, 30]),
)
def test_they_are_those_of_the_scores(seed: int, timed: bool, twins: bool, kind: str, k: int) -> None:
    encoded = world(seed, timed=timed, twins=twins)
    scorer = scorer_of(encoded, seed, kind)
    for batch, _ in query_batches(encoded, np.arange(12), max_scores=30 * 40):
        assert_same(scorer, batch, k)


def test_worlds_with_ties_have_ties() -> None:
    found = []
    for twins in (False, True):
        encoded = world(0, timed=True, twins=twins)
        batch = next(query_batches(encoded, np.arange(12)))[0]
        scorer = scorer_of(encoded, 0, "no popularity")
        found.append(int(ranks_and_lists(scorer, batch, batch.targets, 3, generator())[0].ties.sum()))
    assert found[0] == 0
    assert found[1] > 20


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(2, 60), st.floats(0, 2e-5))
def test_items_nearer_than_rounding_are_compared_by_their_scores(seed, num_queries, num_items, apart) -> None:
    """Every second item is within rounding of the one before it."""
    screening = draw(seed, num_queries, num_items, seen=0.0)
    even = screening.match[:, : num_items // 2 * 2 : 2]
    screening.match[:, 1::2] = even + apart
    screening.background[:, 1::2] = screening.background[:, : num_items // 2 * 2 : 2]
    rng = np.random.default_rng(seed)
    targets, k = torch.from_numpy(rng.integers(0, num_items, num_queries)), int(rng.integers(1, num_items + 1))
    scores = screening.exact(torch.arange(num_queries))
    ranks, shown = module._screened(screening, targets, k, generator())
    expected = target_ranks(scores, targets)
    assert torch.equal(ranks.above, expected.above)
    assert torch.equal(ranks.ties, expected.ties)
    assert torch.equal(shown.sort(1).values, top_k(scores, k, generator())[1].sort(1).values)


def test_few_queries_need_their_scores() -> None:
    """Most are decided by the probabilities: with 400 items, of which few are near a target."""
    screening, asked = draw(3, 60, 400), []
    watched = dataclasses.replace(screening, exact=lambda rows: asked.append(len(rows)) or screening.exact(rows))
    module._screened(watched, torch.arange(60), 20, generator())
    assert sum(asked) < 12


def test_a_score_that_is_no_number_is_refused() -> None:
    screening = draw(4, 5, 20)
    screening.match[2, 3] = torch.nan
    with pytest.raises(InputError, match="NaN"):
        module._screened(screening, torch.zeros(5, dtype=torch.int64), 3, generator())


@pytest.mark.parametrize("kind", ["plain", "calibrated"])
def test_an_evaluation_is_the_same_without_screening(kind: str) -> None:
    encoded = world(5, timed=True, twins=True)
    scorer = scorer_of(encoded, 5, kind)

    class Recommender:
        name = "same"

        def __init__(self, given):
            self.given = given

        def scorer(self, encoded):
            return self.given

    dense = Recommender(lambda batch: scorer(batch))
    with_it, without = (
        evaluate(one, encoded, np.arange(12), k_percent=20.0, max_scores=30 * 25)
        for one in (Recommender(scorer), dense)
    )
    assert with_it.rows("test") == without.rows("test")
    assert np.array_equal(with_it.ranking.per_query("mrr"), without.ranking.per_query("mrr"))

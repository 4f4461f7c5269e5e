"""Users of a batch: split into interests, read part by part, and S that changes within a batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.inference.interventions import matches as module
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.matches import in_parts
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from tests.support.models import EveryPath, small_encoded, small_graph

ENCODED = small_encoded(num_users=9)
NUM_EFFECTS = 6


def scorer(do=None, calibration: Calibration | None = None, **graph) -> InterventionalScorer:
    made = small_graph(**({"graph": EveryPath} | graph)).eval()
    return InterventionalScorer(made, ENCODED, Intervention.check(do, made), calibration=calibration)


def batches():
    return [batch for batch, _ in query_batches(ENCODED, np.arange(9), max_scores=300)]


def test_queries_with_their_own_S_score_as_they_do_alone() -> None:
    """S changes within a batch, and within a history: each query is scored with the S of its own time."""
    values = torch.randn(3, NUM_EFFECTS, generator=torch.Generator().manual_seed(0))
    steps = Calibration(torch.tensor([3, 6]), values, torch.zeros(3), torch.ones(NUM_EFFECTS))
    calibrated, mixed = scorer(calibration=steps), 0
    for batch in batches():
        S = steps.at(batch.times)[batch.slot]
        mixed += len(S.unique(dim=0)) > 1
        found = calibrated(batch)
        for value in S.unique(dim=0):
            rows = S.eq(value).all(1)
            torch.testing.assert_close(found[rows], constant(value)(batch)[rows], rtol=1e-5, atol=1e-5)
    assert mixed


def constant(nats: torch.Tensor) -> InterventionalScorer:
    none = torch.zeros(1, dtype=torch.int64)
    return scorer(calibration=Calibration(none[:0], nats[None], none, torch.ones(NUM_EFFECTS)))


@pytest.mark.parametrize("tokens", [1, 7, 20])
def test_f_seq_may_read_histories_in_parts(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one = scorer()
    whole = [one.users(batch).vectors for batch in batches()]
    monkeypatch.setattr(module, "TOKENS", tokens)
    assert max(len(list(in_parts(batch.history, batch.positions))) for batch in batches()) > 1
    for batch, expected in zip(batches(), whole, strict=True):
        torch.testing.assert_close(one.users(batch).vectors, expected, rtol=1e-5, atol=1e-5)


def test_parts_hold_each_query_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOKENS", 8)
    history, positions = torch.arange(20).view(5, 4), torch.tensor([0, 3, 4, 9, 10, 19])
    parts = list(in_parts(history, positions))
    assert [len(rows) for rows, _ in parts] == [2, 2, 1]
    assert torch.cat([rows.flatten()[own] for rows, own in parts]).tolist() == positions.tolist()
    ((whole, same),) = in_parts(history, positions.flip(0))  # in no order: at once
    assert torch.equal(whole, history)
    assert torch.equal(same, positions.flip(0))


def test_a_value_for_U_is_all_of_it() -> None:
    batch = batches()[0]
    assert scorer().users(batch).interests is not None
    users = scorer({"U": 1.0}).users(batch)
    assert users.interests is None
    assert torch.equal(users.vectors, torch.ones_like(users.vectors))
    assert scorer(num_interests=1).users(batch).interests is None
    assert scorer(graph="paper").users(batch).interests is None


def test_the_mixture_alone_is_screened() -> None:
    batch = batches()[0]
    assert scorer().screening(batch) is not None
    assert scorer(graph="paper").screening(batch) is None, "one softmax"
    assert scorer().screening(dataclasses.replace(batch, repeat_counts=None)) is None


def test_exact_scores_of_some_queries_are_those_of_all() -> None:
    one = scorer()
    for batch in batches():
        rows = torch.arange(batch.num_queries)[::3]
        assert torch.equal(one.screening(batch).exact(rows), one(batch)[rows])

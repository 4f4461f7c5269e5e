"""Top-k: the head of a stable sort, and random draws among ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.ranking import top_k as module
from prerec_pyro.ranking.top_k import top_k, top_k_unordered

INF = float("inf")


@st.composite
def tied_scores(draw) -> tuple[torch.Tensor, int]:
    rows, items = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    values = draw(st.lists(st.sampled_from([-INF, -1.0, 0.0, 0.5, 2.0]), min_size=rows * items, max_size=rows * items))
    return torch.tensor(values).view(rows, items), draw(st.integers(1, items))


@settings(max_examples=200, deadline=None)
@given(tied_scores())
def test_top_k_is_the_head_of_a_stable_sort(case):
    scores, k = case
    best, index = top_k(scores, k)
    expected, order = scores.sort(dim=1, descending=True, stable=True)
    assert torch.equal(index, order[:, :k])
    assert torch.equal(best, expected[:, :k])
    assert index.dtype == torch.int64


@settings(max_examples=200, deadline=None)
@given(tied_scores(), st.integers(0, 1000))
def test_random_draws_change_only_which_tied_items_are_listed(case, seed):
    scores, k = case
    best, index = top_k(scores, k, torch.Generator().manual_seed(seed))
    expected = scores.sort(dim=1, descending=True, stable=True).values[:, :k]
    assert torch.equal(best, expected)
    assert torch.equal(scores.gather(1, index), best)
    assert all(len(set(row)) == k for row in index.tolist()), "no item twice"


def test_random_draws_are_uniform_among_ties():
    scores = torch.tensor([[0.0, 5.0, 1.0, 1.0, 1.0, 1.0]]).expand(4000, 6)
    _, index = top_k(scores, 3, torch.Generator().manual_seed(0))
    listed = torch.bincount(index.flatten(), minlength=6)
    assert listed[0] == 0
    assert listed[1] == 4000
    assert ((listed[2:] - 2000).abs() < 150).all()  # 2000 on average, standard deviation 32
    assert torch.equal(index[:, 0], torch.ones(4000, dtype=torch.int64))


def test_random_draws_repeat_by_their_seed():
    scores = torch.zeros(5, 9)
    one, other, third = (top_k(scores, 4, torch.Generator().manual_seed(seed))[1] for seed in (1, 1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 90), st.integers(1, 4), st.booleans())
def test_the_best_of_groups_hold_the_best_of_all(seed, rows, items, group, ties):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(0, 5, (rows, items)) if ties else rng.standard_normal((rows, items)))
    k = int(rng.integers(1, items + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GROUP", group)
        best, index = top_k_unordered(scores, k)
        in_order = top_k(scores, k)[1]
    assert torch.equal(in_order, scores.argsort(dim=1, descending=True, stable=True)[:, :k])
    assert torch.equal(best.sort(dim=1).values, scores.topk(k, dim=1).values.sort(dim=1).values)
    assert torch.equal(scores.gather(1, index), best)
    assert all(len(set(row)) == k for row in index.tolist()), "no item twice"


def test_few_numbers_are_sorted_where_there_are_many(monkeypatch):
    widths, whole = [], torch.Tensor.topk
    monkeypatch.setattr(torch.Tensor, "topk", lambda t, *a, **k: widths.append(t.shape[1]) or whole(t, *a, **k))
    top_k_unordered(torch.rand(2, 4000), 20)
    assert widths == [250, 320]

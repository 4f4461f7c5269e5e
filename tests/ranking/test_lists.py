"""Top-k: a stable sort, only shorter; and the table that every recommender answers with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.histories import known_users
from prerec_pyro.ranking import lists as ranking
from prerec_pyro.ranking.lists import COLUMNS, hide, list_table, score_histories, top_k, top_lists
from tests.support.models import small_encoded

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
def test_drawing_lots_changes_only_which_of_the_tied_are_listed(case, seed):
    scores, k = case
    best, index = top_k(scores, k, torch.Generator().manual_seed(seed))
    expected = scores.sort(dim=1, descending=True, stable=True).values[:, :k]
    assert torch.equal(best, expected)
    assert torch.equal(scores.gather(1, index), best)
    assert all(len(set(row)) == k for row in index.tolist()), "no item twice"


def test_lots_are_fair_among_the_tied():
    scores = torch.tensor([[0.0, 5.0, 1.0, 1.0, 1.0, 1.0]]).expand(4000, 6)
    _, index = top_k(scores, 3, torch.Generator().manual_seed(0))
    listed = torch.bincount(index.flatten(), minlength=6)
    assert listed[0] == 0
    assert listed[1] == 4000
    assert ((listed[2:] - 2000).abs() < 150).all()  # 2000 on average, standard deviation 32
    assert torch.equal(index[:, 0], torch.ones(4000, dtype=torch.int64))


def test_lots_repeat_by_their_seed():
    scores = torch.zeros(5, 9)
    one, other, third = (top_k(scores, 4, torch.Generator().manual_seed(seed))[1] for seed in (1, 1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


def test_hidden_items_come_last():
    scores = hide(torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), np.array([0, 0, 1]), np.array([0, 1, 2], np.int32))
    assert scores.tolist() == [[-INF, -INF, 1.0], [3.0, 2.0, -INF]]
    assert top_k(scores, 2)[1].tolist() == [[2, 0], [0, 1]]


def test_the_table_has_a_row_for_each_item_that_is_not_hidden():
    table = list_table(
        np.array(["u", "v"], object),
        np.array(["a", "b", "c"], object),
        torch.tensor([[2.0, 1.0], [0.5, -INF]]),
        torch.tensor([[2, 0], [1, 2]]),
    )
    assert tuple(table.columns) == COLUMNS == ("user_id", "item_id", "score", "rank")
    assert table.to_numpy().tolist() == [["u", "c", 2.0, 1], ["u", "a", 1.0, 2], ["v", "b", 0.5, 1]]
    assert table.index.tolist() == [0, 1, 2]


@pytest.fixture
def encoded():
    return small_encoded(num_users=20)


def by_last_item(batch) -> torch.Tensor:
    """A score that says who is asked about: the user's last item, and the item."""
    return 100.0 * batch.last_items[:, None] + torch.arange(len(batch.items))


@pytest.mark.parametrize("max_scores", [1, 30, 1 << 20])
def test_histories_are_scored_in_bounded_chunks_in_order(encoded, max_scores):
    histories = known_users(encoded, None, None, 64)
    sizes, parts, expected_start = [], [], 0
    for rows, scores in score_histories(by_last_item, encoded, histories, max_scores):
        assert rows.start == expected_start
        assert scores.shape == (rows.stop - rows.start, encoded.num_items)
        expected_start = rows.stop
        sizes.append(scores.numel())
        parts.append(scores)
    assert max(sizes) <= max(max_scores, encoded.num_items)
    last = encoded.domain.item_index[encoded.domain.offsets[1:] - 1]
    assert torch.cat(parts)[:, 0].tolist() == (100.0 * last).tolist()


@pytest.mark.parametrize("drop_seen", [True, False])
def test_lists_leave_out_what_was_seen_where_asked(encoded, drop_seen, monkeypatch):
    domain = encoded.domain
    chunked = ranking.score_histories
    monkeypatch.setattr(ranking, "score_histories", lambda *args: chunked(*args, 40))  # several chunks
    histories = known_users(encoded, None, None, 2)  # only two are read, yet all were seen
    found, num_chunks = {}, 0
    for rows, (scores, index) in top_lists(by_last_item, encoded, histories, 50, drop_seen=drop_seen):
        num_chunks += 1
        for user, row, score in zip(histories.user_ids[rows], index.tolist(), scores.tolist(), strict=True):
            found[user] = [item for item, value in zip(row, score, strict=True) if np.isfinite(value)]
    assert num_chunks > 1
    for number, user in enumerate(domain.user_ids):
        seen = set(domain.item_index[domain.offsets[number] : domain.offsets[number + 1]].tolist())
        candidates = [item for item in range(encoded.num_items) if not (drop_seen and item in seen)]
        assert found[user] == candidates[::-1]

"""Lists of users, hidden items, bounded memory, and the table of recommendations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.data.batching.histories import known_users
from prerec_pyro.ranking import lists as ranking
from prerec_pyro.ranking.lists import COLUMNS, hide, list_table, score_histories, top_k, top_lists
from tests.support.models import small_encoded

INF = float("inf")


def test_hidden_items_come_last():
    scores = hide(torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), np.array([0, 0, 1]), np.array([0, 1, 2], np.int32))
    assert scores.tolist() == [[-INF, -INF, 1.0], [3.0, 2.0, -INF]]
    assert top_k(scores, 2)[1].tolist() == [[2, 0], [0, 1]]


def test_the_table_has_a_row_for_each_listed_item():
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
    """Scores that identify the query: by the user's last item and the item."""
    return 100.0 * batch.last_items[:, None] + torch.arange(len(batch.items))


@pytest.mark.parametrize("max_scores", [1, 30, 1 << 20])
def test_histories_are_scored_in_bounded_blocks_in_order(encoded, max_scores):
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
def test_lists_leave_out_seen_items_on_request(encoded, drop_seen, monkeypatch):
    domain = encoded.domain
    chunked = ranking.score_histories
    monkeypatch.setattr(ranking, "score_histories", lambda *args: chunked(*args, 40))  # several chunks
    histories = known_users(encoded, None, None, 2)  # a recommender reads two items, but all are seen
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

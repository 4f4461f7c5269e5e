"""Ranking metrics against closed forms, brute force and ir-measures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import prerec_pyro.evaluation.metrics as metrics_module
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.metrics import (
    RankingMetrics,
    expected_metric,
    metric_values,
    target_ranks,
    top_k_size,
    usable_k_percent,
)


def measure(scores: torch.Tensor, targets: torch.Tensor, k_percent: float) -> dict[str, float]:
    metrics = RankingMetrics(scores.shape[1], k_percent)
    metrics.update(*target_ranks(scores, targets))
    return metrics.compute()


# Scores from three values only, so that most rows are full of ties.
tied_rows = st.integers(2, 12).flatmap(
    lambda size: st.tuples(
        st.lists(st.lists(st.integers(0, 2), min_size=size, max_size=size), min_size=1, max_size=6),
        st.integers(0, size - 1),
    )
)


@given(tied_rows)
def test_target_ranks_count_item_by_item(case: tuple[list[list[int]], int]) -> None:
    rows, target = case
    scores = torch.tensor(rows, dtype=torch.float32)
    ranks = target_ranks(scores, torch.full((len(rows),), target))
    for query, row in enumerate(rows):
        above = sum(value > row[target] for value in row)
        ties = sum(value == row[target] for item, value in enumerate(row) if item != target)
        assert (ranks.above[query], ranks.ties[query]) == (above, ties)
        assert (ranks.best[query], ranks.worst[query]) == (above + 1, above + ties + 1)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=5), st.data())
def test_ties_are_the_mean_over_all_orders_of_the_tied_items(row: list[int], data: st.DataObject) -> None:
    target = data.draw(st.integers(0, len(row) - 1))
    scores, targets = torch.tensor([row], dtype=torch.float32), torch.tensor([target])
    got = expected_metric(*target_ranks(scores, targets), 1.0 / torch.arange(1, len(row) + 1))
    # Every order of the catalogue that the scores allow, one by one.
    allowed = [
        order
        for order in itertools.permutations(range(len(row)))
        if all(row[first] >= row[second] for first, second in itertools.pairwise(order))
    ]
    expected = sum(1 / (order.index(target) + 1) for order in allowed) / len(allowed)
    assert got.dtype == torch.float64
    assert got.item() == pytest.approx(expected, rel=1e-6)


def test_blocks_do_not_change_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 9, (7, 101), generator=generator).float()
    targets = torch.randint(0, 101, (7,), generator=generator)
    whole = target_ranks(scores, targets)
    monkeypatch.setattr(metrics_module, "_BLOCK", 70)  # ten columns at a time
    blocks = target_ranks(scores, targets)
    assert torch.equal(whole.above, blocks.above) and torch.equal(whole.ties, blocks.ties)


def test_infinite_scores_are_ranked() -> None:
    scores = torch.tensor([[-math.inf, -math.inf, 0.0, math.inf]])
    assert target_ranks(scores, torch.tensor([1])) == (torch.tensor([2]), torch.tensor([1]))
    assert target_ranks(scores, torch.tensor([3])) == (torch.tensor([0]), torch.tensor([0]))


def test_nan_scores_and_wrong_targets_are_refused() -> None:
    scores = torch.zeros(3, 4)
    scores[1, 2] = math.nan
    with pytest.raises(InputError, match=r"query 1 .* NaN"):
        target_ranks(scores, torch.tensor([0, 0, 0]))
    for targets in ([0, 4, 0], [0, -1, 0]):
        with pytest.raises(ValueError, match="must lie in 0 … 3"):
            target_ranks(torch.zeros(3, 4), torch.tensor(targets))
    with pytest.raises(ValueError, match="do not match"):
        target_ranks(torch.zeros(3, 4), torch.tensor([0]))


def test_no_queries_give_no_ranks() -> None:
    ranks = target_ranks(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert ranks.above.shape == ranks.ties.shape == (0,)


@pytest.mark.parametrize(
    ("num_items", "k_percent", "size"),
    [(4223, 0.5, 21), (1000, 0.3, 3), (10000, 0.57, 57), (3, 100, 3), (200, 0.5, 1), (399, 0.5, 1)],
)
def test_k_is_floored_in_exact_arithmetic(num_items: int, k_percent: float, size: int) -> None:
    # In floats, 10000 * 0.57 / 100 is 56.999…
    assert top_k_size(num_items, k_percent) == size


@given(st.integers(1, 10**7))
def test_the_smallest_usable_k_percent_is_usable(num_items: int) -> None:
    with pytest.raises(InputError) as error:
        top_k_size(num_items, 0.99 * 100 / num_items)
    named = float(str(error.value).rstrip(".").rsplit(" ", 1)[1])
    assert top_k_size(num_items, named) == 1
    assert named <= 100 / num_items * 1.011


@given(st.integers(1, 10**7), st.floats(1e-9, 100))
def test_where_k_percent_is_less_than_an_item_it_becomes_one(num_items: int, k_percent: float) -> None:
    usable = usable_k_percent(num_items, k_percent)
    assert usable == k_percent or top_k_size(num_items, usable) == 1
    assert top_k_size(num_items, usable) >= 1


@pytest.mark.parametrize("num_items", range(1, 200))
def test_a_small_domain_has_one_item_at_the_top(num_items: int) -> None:
    # 92 items: in floats, 100 / 92 is a little less than one of them.
    assert top_k_size(num_items, usable_k_percent(num_items, 0.5)) == 1


@pytest.mark.parametrize("k_percent", [0, -1, 100.5, math.nan])
def test_k_percent_is_a_percentage(k_percent: float) -> None:
    with pytest.raises(InputError, match="K%"):
        top_k_size(100, k_percent)


@pytest.mark.parametrize(("k_percent", "b"), [(0.04, 15000), (0.5, 1200)])
def test_r_ndcg_is_equation_9(k_percent: float, b: float) -> None:
    num_items = 50_000
    size = top_k_size(num_items, k_percent)
    values = metric_values(num_items, k_percent)["r_ndcg"]
    assert values[0] == 1.0
    for rank in (2, 7, size):
        expected = math.log2(2) / math.log2(2 + b * (rank - 1) / num_items)
        assert values[rank - 1].item() == pytest.approx(expected, rel=1e-12)
    assert (values[size:] == 0).all()


def test_r_ndcg_becomes_ndcg_where_b_is_the_number_of_items() -> None:
    values = metric_values(1200, 0.5)["r_ndcg"]
    torch.testing.assert_close(values[:6], 1 / torch.log2(1 + torch.arange(1, 7, dtype=torch.float64)))


def test_closed_forms_at_a_known_rank() -> None:
    scores = -torch.arange(1000.0)[None]  # item j has rank j + 1
    got = measure(scores, torch.tensor([14]), 2.0)
    assert (got["recall"], got["recall@10"], got["recall@20"]) == (1.0, 0.0, 1.0)
    assert (got["ndcg@10"], got["num_queries"]) == (0.0, 1)
    assert got["ndcg@20"] == pytest.approx(1 / 4)
    assert got["mrr"] == pytest.approx(1 / 15)
    assert got["r_ndcg"] == pytest.approx(math.log(2) / math.log(2 + 300 * 14 / 1000))
    assert set(got) == {*("recall", "r_ndcg", "recall@10", "recall@20", "ndcg@10", "ndcg@20", "mrr", "num_queries")}


def test_the_papers_random_row_for_online_retail() -> None:
    got = measure(torch.zeros(1, 4223), torch.tensor([17]), 0.5)
    assert got["recall"] == 21 / 4223
    assert (round(got["recall"], 4), round(got["r_ndcg"], 4)) == (0.0050, 0.0025)


def test_agreement_with_ir_measures() -> None:
    ir_measures = pytest.importorskip("ir_measures")
    from ir_measures import RR, R, nDCG

    rng = np.random.default_rng(5)
    num_queries, num_items = 60, 40
    scores = torch.from_numpy(np.stack([rng.permutation(num_items) for _ in range(num_queries)])).float()
    targets = torch.from_numpy(rng.integers(0, num_items, num_queries))
    metrics = RankingMetrics(num_items, 10)
    metrics.update(*target_ranks(scores, targets))
    qrels = [ir_measures.Qrel(f"q{query}", f"d{item}", 1) for query, item in enumerate(targets.tolist())]
    run = [
        ir_measures.ScoredDoc(f"q{query}", f"d{item}", score)
        for query, row in enumerate(scores.tolist())
        for item, score in enumerate(row)
    ]
    names = {R @ 10: "recall@10", R @ 20: "recall@20", nDCG @ 10: "ndcg@10", nDCG @ 20: "ndcg@20", RR: "mrr"}
    for value in ir_measures.pytrec_eval.iter_calc(list(names), qrels, run):
        ours = metrics.per_query(names[value.measure])[int(value.query_id[1:])]
        assert ours == pytest.approx(value.value, abs=1e-12), value
    whole = ir_measures.pytrec_eval.calc_aggregate(list(names), qrels, run)
    assert {names[key]: value for key, value in whole.items()} == pytest.approx(
        {name: metrics.compute()[name] for name in names.values()}
    )


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_chunks_add_up(sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(sum(sizes))
    scores = torch.randint(0, 20, (sum(sizes), 50), generator=generator).float()
    targets = torch.randint(0, 50, (sum(sizes),), generator=generator)
    whole, parts = RankingMetrics(50, 10), RankingMetrics(50, 10)
    whole.update(*target_ranks(scores, targets))
    for chunk, goals in zip(scores.split(sizes), targets.split(sizes), strict=True):
        parts.update(*target_ranks(chunk, goals))
    assert whole.compute() == parts.compute()
    np.testing.assert_array_equal(whole.per_query("r_ndcg"), parts.per_query("r_ndcg"))


def test_a_subset_of_the_queries() -> None:
    metrics = RankingMetrics(4, 25)
    metrics.update(torch.tensor([0, 1, 0]), torch.tensor([0, 0, 1]))
    np.testing.assert_array_equal(metrics.per_query("recall"), [1.0, 0.0, 0.5])
    assert metrics.compute()["recall"] == 0.5
    unseen = metrics.compute(np.array([False, True, True]))
    assert (unseen["recall"], unseen["num_queries"]) == (0.25, 2)
    nothing = metrics.compute(np.zeros(3, dtype=bool))
    assert nothing["num_queries"] == 0 and math.isnan(nothing["recall"])
    with pytest.raises(ValueError, match="3 booleans"):
        metrics.compute(np.array([0, 1]))
    with pytest.raises(InputError, match="recall@10"):
        metrics.per_query("hits")


def test_impossible_ranks_are_refused() -> None:
    metrics = RankingMetrics(4, 25)
    for above, ties in (([4], [0]), ([3], [1]), ([-1], [0])):
        with pytest.raises(ValueError, match="1 … 4"):
            metrics.update(torch.tensor(above), torch.tensor(ties))
    with pytest.raises(ValueError, match="num_queries"):
        metrics.update(torch.tensor([0, 1]), torch.tensor([0]))
    assert metrics.num_queries == 0

"""Ratios and intervals against the paired bootstrap and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from prerec_pyro.evaluation.bootstrap import resampled_means
from prerec_pyro.reproduction.cells import Cell
from prerec_pyro.reproduction.corpus.ratios import TargetSummary, geometric_means
from prerec_pyro.reproduction.rows import TABLE1
from prerec_pyro.reproduction.summary import Measured, comparisons

ROWS = {row.name: row for row in TABLE1}
USERS = np.repeat(np.arange(30), 4)


def measured(name: str, *recalls: np.ndarray, half: float = 0.5) -> Measured:
    """A row with a seed for each array of Recall; r-NDCG is a part of it."""
    cells = []
    for recall in recalls:
        arrays = {"events": np.arange(len(recall)), "users": USERS, "recall": recall, "r_ndcg": half * recall}
        row = {"num_queries": len(recall), "recall": recall.mean(), "r_ndcg": half * recall.mean()}
        cells.append(Cell({"all": row}, {}, arrays))
    return Measured(ROWS[name], cells)


@pytest.fixture
def rows() -> list[Measured]:
    rng = np.random.default_rng(0)
    draw = lambda share: (rng.random(len(USERS)) < share).astype(float)  # noqa: E731
    # SBERT is better in Recall, POP in r-NDCG.
    return [
        measured("pop", draw(0.3), half=0.9),
        measured("sbert", draw(0.45), half=0.3),
        measured("prerec", draw(0.6), draw(0.55)),
    ]


def test_differences_are_those_of_the_paired_bootstrap(rows: list[Measured]) -> None:
    found, expected = TargetSummary(rows, "shop").comparisons(), comparisons(rows, "shop")
    assert [one["against"] for one in found] == ["sbert", "pop"]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other)


def test_ratios_are_those_of_the_means_draw_by_draw(rows: list[Measured]) -> None:
    recall, r_ndcg = TargetSummary(rows, "shop").ratios()
    ours, best = rows[2].per_query("recall", "all"), rows[1].per_query("recall", "all")
    assert recall.value == pytest.approx(ours.mean() / best.mean())
    draws = resampled_means(np.stack([ours, best], axis=1), USERS)
    low, high = np.quantile(draws[:, 0] / draws[:, 1], [0.025, 0.975], method="nearest")
    record = recall.to_json("shop")
    assert (record["low"], record["high"]) == pytest.approx((low, high))
    assert (record["against"], r_ndcg.against.name) == ("sbert", "pop")
    assert record["low"] < record["ratio"] < record["high"]


def test_records_have_an_interval_over_users_and_one_over_seeds(rows: list[Measured]) -> None:
    pop, _, ours = TargetSummary(rows, "shop").records()
    assert pop["recall"]["half_width"] is None
    assert ours["recall"]["half_width"] > 0
    assert ours["best"] == ["recall", "r_ndcg"]
    for record in (pop, ours):
        assert record["recall"]["low"] < record["recall"]["mean"] < record["recall"]["high"]


def test_the_geometric_mean_is_over_targets_with_independent_draws(rows: list[Measured]) -> None:
    other = [rows[0], rows[1], measured("prerec", np.ones(len(USERS)))]
    by_target = [TargetSummary(one, "shop").ratios() for one in (rows, other, rows)]
    recall, _ = geometric_means(by_target)
    values = [ratios[0].value for ratios in by_target]
    assert recall["ratio"] == pytest.approx(np.prod(values) ** (1 / 3))
    assert (recall["num_targets"], recall["left_out"]) == (3, 0)
    # Independent users of two equal targets narrow the interval by √2; the same draws would leave it as it is.
    (twice, _), (once, _) = geometric_means([by_target[0]] * 2), geometric_means([by_target[0]])
    width = lambda one: np.log(one["high"]) - np.log(one["low"])  # noqa: E731
    assert width(twice) == pytest.approx(width(once) / np.sqrt(2), rel=0.03)


def test_a_row_that_finds_nothing_has_no_ratio(rows: list[Measured]) -> None:
    nothing = np.zeros(len(USERS))
    none = TargetSummary([measured("pop", nothing), rows[2]], "stall").ratios()
    record = none[0].to_json("stall")
    assert (record["ratio"], record["low"], record["high"]) == (None, None, None)
    some = TargetSummary(rows, "shop").ratios()
    recall, _ = geometric_means([some, none])
    assert recall["ratio"] == pytest.approx(some[0].value)
    assert recall["left_out"] == 1
    # One user of POP found something: in a third of the draws that user is absent, so the upper end is not known.
    rare = np.where(USERS == 0, 1.0, 0.0)
    open_end = TargetSummary([measured("pop", rare), rows[2]], "stall").ratios()[0].to_json("stall")
    assert open_end["low"] > 0
    assert open_end["high"] is None
    level = TargetSummary([measured("pop", rare), measured("prerec", rare)], "stall").ratios()[0].to_json("stall")
    assert (level["ratio"], level["low"], level["high"]) == (1.0, 1.0, 1.0)

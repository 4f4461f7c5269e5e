"""Means, intervals and comparisons against numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prerec_pyro.evaluation.bootstrap import paired_bootstrap
from prerec_pyro.reproduction import markdown
from prerec_pyro.reproduction.cells import Cell
from prerec_pyro.reproduction.rows import TABLE1, Row
from prerec_pyro.reproduction.summary import Measured, comparisons, records

USERS = np.repeat(np.arange(20), 2)
POP, SBERT, PREREC_N, PREREC = (next(r for r in TABLE1 if r.name == n) for n in ("pop", "sbert", "prerec_n", "prerec"))


def cell(level: float, unseen: slice = slice(0, 10), noise: int = 0) -> Cell:
    rng = np.random.default_rng(noise)
    values = level + (rng.normal(0, 0.1, len(USERS)) if noise else 0)
    mask = np.zeros(len(USERS), bool)
    mask[unseen] = True
    arrays = {"events": np.arange(len(USERS)), "users": USERS, "unseen": mask}
    arrays |= {"recall": np.full(len(USERS), 1.0) * values, "r_ndcg": np.full(len(USERS), 0.5) * values}
    rows = {}
    for subset, keep in (("all", np.ones(len(USERS), bool)), ("unseen", mask)):
        means = {m: float(arrays[m][keep].mean()) if keep.any() else None for m in ("recall", "r_ndcg")}
        rows[subset] = {"num_queries": int(keep.sum()), **means}
    return Cell(rows, {}, arrays)


def several(row: Row, *levels: float, **options: object) -> Measured:
    return Measured(row, [cell(level, **options) for level in levels])


def test_records_hold_mean_interval_and_the_best() -> None:
    found = records([several(POP, 0.2), several(PREREC, 0.3, 0.4)], "shop", samples=7)
    assert [(r["row"], r["subset"], r["samples"]) for r in found] == [
        ("pop", "all", 7),
        ("prerec", "all", 7),
        ("pop", "unseen", 7),
        ("prerec", "unseen", 7),
    ]
    pop, ours = found[:2]
    assert pop["recall"] == {"mean": pytest.approx(0.2), "half_width": None, "values": [pytest.approx(0.2)]}
    assert ours["recall"]["mean"] == pytest.approx(0.35)
    assert ours["recall"]["half_width"] == pytest.approx(12.7062 * 0.05, rel=1e-4)  # t(1) times 0.0707 / √2
    assert (pop["best"], ours["best"]) == ([], ["recall", "r_ndcg"])
    assert (ours["seeds"], found[3]["num_queries"]) == (2, 10)


def test_a_single_row_or_equal_rows_are_not_the_best() -> None:
    assert records([several(POP, 0.2)], "shop")[0]["best"] == []
    assert [r["best"] for r in records([several(POP, 0.2), several(SBERT, 0.2)], "shop")[:2]] == [[], []]


def test_a_subset_without_queries_has_no_numbers() -> None:
    rows = [several(POP, 0.2, unseen=slice(0, 0)), several(PREREC, 0.3, unseen=slice(0, 0))]
    found = records(rows, "shop")
    assert (found[2]["num_queries"], found[2]["recall"], found[2]["best"]) == (0, None, [])
    assert {one["subset"] for one in comparisons(rows, "shop")} == {"all"}
    assert "–" in markdown.rows(found, 5.0)


def test_ours_is_compared_with_the_best_other_on_seed_averaged_values() -> None:
    ours = Measured(PREREC, [cell(0.4, noise=1), cell(0.5, noise=2)])
    best = Measured(PREREC_N, [cell(0.3, noise=3), cell(0.4, noise=4)])
    found = comparisons([several(POP, 0.1), best, ours], "shop", samples=3)
    assert [(o["subset"], o["metric"], o["row"], o["against"]) for o in found] == [
        (subset, metric, "prerec", "prerec_n") for subset in ("all", "unseen") for metric in ("recall", "r_ndcg")
    ]
    gain = (ours.cells[0].arrays["recall"] + ours.cells[1].arrays["recall"]) / 2
    gain = gain - (best.cells[0].arrays["recall"] + best.cells[1].arrays["recall"]) / 2
    expected = paired_bootstrap(np.stack([gain, gain / 2], axis=1), USERS)
    assert found[0]["difference"] == pytest.approx(gain.mean())
    assert (found[0]["low"], found[0]["high"]) == pytest.approx((expected[0].low, expected[0].high))
    assert found[1]["difference"] == pytest.approx(gain.mean() / 2)
    assert found[2]["difference"] == pytest.approx(gain[:10].mean())
    assert found[2]["num_queries"] == 10
    assert found[0]["samples"] == 3


def test_without_ours_or_others_nothing_is_compared() -> None:
    assert comparisons([several(POP, 0.1), several(SBERT, 0.2)], "shop") == []
    assert comparisons([several(PREREC, 0.1)], "shop") == []


def test_other_queries_cannot_be_paired() -> None:
    other = cell(0.1)
    other.arrays["events"] = other.arrays["events"] + 1
    with pytest.raises(ValueError, match="other queries"):
        comparisons([Measured(POP, [other]), several(PREREC, 0.3)], "shop")


def test_markdown_marks_the_best_and_joins_equal_subsets() -> None:
    rows = [several(POP, 0.2), several(PREREC_N, 0.25), several(PREREC, 0.3, 0.4)]
    lines = markdown.rows(records(rows, "shop"), 0.5).splitlines()
    assert lines[0] == "| method | Recall@0.5%, all | Recall@0.5%, unseen | r-NDCG@0.5%, all | r-NDCG@0.5%, unseen |"
    assert lines[2] == "| POP | 0.2000 | 0.2000 | 0.1000 | 0.1000 |"
    assert lines[3].startswith(r"| PreRec\_n | 0.2500 ")
    half = 12.7062047 * 0.05
    assert lines[4].startswith(f"| PreRec | **0.3500 ± {half:.4f}** | ")
    assert lines[-1] == "Queries: 40 all, 10 unseen."
    same = [several(POP, 0.2, unseen=slice(None)), several(PREREC, 0.3, unseen=slice(None))]
    text = markdown.rows(records(same, "shop"), 0.5)
    assert text.splitlines()[0] == "| method | Recall@0.5%, all/unseen | r-NDCG@0.5%, all/unseen |"
    listed = markdown.comparisons(comparisons(same, "shop")).splitlines()
    assert len(listed) == 4
    assert listed[2].startswith("- Recall, all/unseen: `prerec` less `pop` +0.1000 (95 % +0.1000 to +0.1000; 0.00%")


def test_half_widths_shrink_with_seeds() -> None:
    few, many = (
        records([several(PREREC, *levels)], "shop")[0]["recall"]["half_width"]
        for levels in ((0.3, 0.4), (0.3, 0.4) * 8)
    )
    assert math.isfinite(few)
    assert many < few / 10

"""Scaling: nested sources that never overlap the target, and the curve by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prerec_pyro.errors import InputError
from prerec_pyro.reproduction.corpus.scaling import SCALING, curve, curve_frame, scaling, steps
from prerec_pyro.reproduction.rows import chosen
from tests.support.corpora import tiny_corpus


def test_sources_are_nested_and_never_overlap(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path)
    found = steps(corpus, ["shop", "stall"], [1, 2, 9], orders=6, common=False)
    assert len(found) == 6 * 2 * 3
    assert {step.size for step in found} == {1, 2, 3}, "9 stands for all three"
    for step in found:
        assert len(set(step.sources)) == step.size
        assert step.target not in step.sources
        smaller = [
            one for one in found if (one.target, one.order, one.size) == (step.target, step.order, step.size - 1)
        ]
        assert all(set(one.sources) < set(step.sources) for one in smaller)
    assert len({step.sources for step in found if (step.target, step.size) == ("shop", 2)}) > 2, "orders differ"
    films = steps(corpus, ["films-a"], [2], orders=4, common=False)
    assert {frozenset(step.sources) for step in films} == {frozenset({"shop", "stall"})}


def test_targets_can_share_their_sources(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path)
    found = steps(corpus, ["shop", "stall"], [1, 2], orders=2, common=True)
    for order in range(2):
        for size in (1, 2):
            own = [step.sources for step in found if (step.order, step.size) == (order, size)]
            assert own[0] == own[1]
            assert set(own[0]) <= {"films-a", "films-b"}
    with pytest.raises(InputError, match="target films-a, shop, stall: no source is left"):
        steps(corpus, ["films-a", "shop", "stall"], [1], orders=1, common=True)


def test_the_report_has_a_point_for_each_step(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path)
    rows = chosen(SCALING, ["pop", "prerec"])
    report = scaling(corpus, rows, ["shop", "stall"], [1, 2], orders=2, common=True)
    assert [(p["order"], p["domains"], p["target"]) for p in report.points] == [
        (order, size, target) for order in range(2) for size in (1, 2) for target in ("shop", "stall")
    ]
    for point in report.points:
        assert point["interactions"] == corpus.num_interactions(point["sources"])
        assert point["against"]["recall"]["row"] == "pop"
        assert point["ratio"]["recall"] == point["recall"]["mean"] / point["against"]["recall"]["mean"]
    # Two orders of both domains are the same sources, and the same cells.
    assert len({p["recall"]["mean"] for p in report.points if (p["domains"], p["target"]) == (2, "shop")}) == 1
    sets = {tuple(sorted(p["sources"])) for p in report.points}
    assert len(list((tmp_path / "models").iterdir())) == len(sets) >= 2, "a model for each set of sources"
    text = report.to_markdown()
    assert "2 random orders of the sources, nested within an order; ± is half of the 95 % interval" in text
    assert "All targets have the same sources; none overlaps a target." in text
    assert text.count("| none | POP ") == 2
    assert report.to_json()["about"]["sizes"] == [1, 2]


def point(target: str, order: int, domains: int, ratio: float | None) -> dict[str, object]:
    ratios = {"recall": ratio, "r_ndcg": ratio}
    head = {"row": "prerec", "label": "PreRec", "target": target, "order": order, "domains": domains}
    return head | {"interactions": 100 * domains + order, "ratio": ratios}


def test_the_curve_is_geometric_over_targets_and_arithmetic_over_orders() -> None:
    points = [point("shop", 0, 3, 2.0), point("stall", 0, 3, 8.0), point("shop", 1, 3, 1.0), point("stall", 1, 3, 4.0)]
    points += [
        point("shop", 0, 1, 0.5),
        point("stall", 0, 1, None),
        point("shop", 1, 1, 0.0),
        point("stall", 1, 1, 3.0),
    ]
    three, one = curve(points)
    assert (three["domains"], three["interactions"]) == (3, 300.5)
    assert [line["recall"] for line in three["by_order"]] == pytest.approx([4.0, 2.0])
    assert three["recall"]["mean"] == pytest.approx(3.0)
    assert three["recall"]["half_width"] == pytest.approx(12.706 * 1.0, rel=1e-3)
    assert [line["recall"] for line in one["by_order"]] == [0.5, 0.0], "a target without a ratio is left out"


def test_the_frame_marks_the_mean_over_orders(tmp_path: Path) -> None:
    report = scaling(tiny_corpus(tmp_path), chosen(SCALING, ["pop", "prerec"]), ["shop"], [1], orders=2)
    frame = curve_frame(report)
    recall = frame[frame["metric"] == "recall"].set_index("order")["ratio"]
    assert recall[-1] == pytest.approx(np.mean([recall[0], recall[1]]))
    assert sorted(recall.index) == [-1, 0, 1]


def test_sizes_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--domains: expected numbers of 1 or more"):
        scaling(tiny_corpus(tmp_path), chosen(SCALING, ["pop", "prerec"]), ["shop"], [0, 1])

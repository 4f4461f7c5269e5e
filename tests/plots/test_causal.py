"""Pictures of causal reports show the numbers of the tables."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from prerec_pyro import plots


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_the_dial():
    table = pd.DataFrame({"value": [0.0, 1.0, 2.0], "mrr": [0.1, 0.3, 0.2]})
    table["mrr_low"], table["mrr_high"] = table["mrr"] - 0.05, table["mrr"] + 0.05
    (axis,) = plots.plot_dial(table, ("mrr",))
    line, observed = axis.get_lines()[:2]
    np.testing.assert_allclose(line.get_ydata(), table["mrr"])
    assert (observed.get_xdata()[0], observed.get_ydata()[0]) == (1.0, 0.3)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0\nnone", "1\nobserved", "2\ndoubled"]
    assert axis.get_ylim()[0] == 0


def test_the_effect():
    changes = pd.DataFrame(
        {"arm": ["a", "b"], "metric": "r_ndcg", "value": [0.1, -0.2], "low": [0.0, -0.3], "high": [0.2, -0.1]}
    )
    groups = pd.DataFrame({"arm": np.repeat(["factual", "a", "b"], 2), "group": [1, 2] * 3, "share": [0.5] * 6})
    left, right = plots.plot_effect(changes, groups, ("r_ndcg",))
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b"]
    bars = [line.get_xdata().tolist() for line in left.get_lines()[1::2]]
    assert bars == [[0.0, 0.2], [-0.3, -0.1]]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["factual", "a", "b"]


def test_reliability():
    rows = {"bin": [1, 2], "expected": [0.2, 0.6], "observed": [0.3, 0.5], "low": [0.25, 0.4], "high": [0.35, 0.6]}
    table = pd.concat([pd.DataFrame(rows).assign(curve=name) for name in ("stability", "confidence")])
    honest, other = plots.plot_reliability(table)
    np.testing.assert_allclose(honest.get_lines()[0].get_xydata(), [[0.2, 0.3], [0.6, 0.5]])
    np.testing.assert_allclose(honest.get_lines()[1].get_xydata(), [[0.2, 0.2], [0.6, 0.6]])
    assert len(other.get_lines()) == 1, "confidence is no hit rate: no diagonal"


def test_drift():
    table = pd.DataFrame(
        {"coordinate": ["S match", "D 1"], "before": [1.0, 0.0], "before_sd": [0.5, 2.0], "after": [3.0, 1.0]}
    ).assign(after_sd=[0.25, 2.0], z=[3.6, 0.4])
    (axis,) = plots.plot_drift(table)
    lines = [line.get_xdata() for line in axis.get_lines()[:4]]
    np.testing.assert_allclose(lines[0], [-1.96, 1.96])
    np.testing.assert_allclose(lines[2], [4 - 0.98, 4 + 0.98])
    assert axis.get_lines()[2].get_color() != axis.get_lines()[6].get_color(), (
        "a coordinate that moved has another colour"
    )
    assert [label.get_text() for label in axis.get_yticklabels()] == ["S match", "D 1"]

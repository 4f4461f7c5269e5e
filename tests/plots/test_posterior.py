"""Pictures of posteriors: intervals, traces, calibration and popularity."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import matplotlib.pyplot
import numpy as np
import pandas as pd

matplotlib.use("Agg")
from prerec_pyro import plots


def intervals(names: list[str]) -> pd.DataFrame:
    values = np.arange(len(names), dtype=float)
    columns = {"mean": values, "low": values - 1, "high": values + 1, "prior_low": -3.0, "prior_high": 3.0}
    return pd.DataFrame(columns, index=names)


def test_each_site_has_a_panel_and_each_coordinate_a_row() -> None:
    axes = plots.plot_intervals({"S": intervals(["a", "b"]), "D": intervals([f"D[{i}]" for i in range(20)])})
    assert [axis.get_title() for axis in axes] == ["S", "D"]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["a", "b"]
    dots = axes[1].get_lines()[0].get_xydata()
    np.testing.assert_allclose(dots, [[i, i] for i in range(20)])
    low, high = axes[1].get_ylim()
    assert low > high, "the first row is at the top"
    matplotlib.pyplot.close(axes[0].figure)


def test_traces_have_one_line_per_chain() -> None:
    values = np.random.default_rng(0).normal(size=(3, 40, 2))
    axes = plots.plot_traces(values, ["a", "b"])
    assert [len(axis.get_lines()) for axis in axes] == [3, 3]
    np.testing.assert_allclose(axes[1].get_lines()[2].get_ydata(), values[2, :, 1])
    matplotlib.pyplot.close(axes[0].figure)


def test_calibration_and_popularity_are_drawn_and_saved(tmp_path: Path) -> None:
    claimed = np.linspace(0, 1, 11)
    (axis,) = plots.plot_calibration(claimed, claimed**2, 100)
    np.testing.assert_allclose(axis.get_lines()[1].get_ydata(), claimed**2)
    plots.save([axis], str(tmp_path / "calibration.png"))
    counts = {"chosen": np.array([1, 2, 3, 40]), "drawn": np.array([0, 2, 2, 5]), "listed": np.arange(12)}
    (axis,) = plots.plot_popularity_check(counts)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == list(counts)
    np.testing.assert_allclose(axis.get_lines()[0].get_ydata(), [0.25, 0.5, 0.75, 1.0])
    plots.save([axis], str(tmp_path / "popularity.png"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())

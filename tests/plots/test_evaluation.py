"""Pictures of evaluations show the numbers of the rows."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import matplotlib.pyplot
import pandas as pd

matplotlib.use("Agg")

from prerec_pyro import plots


def test_comparison_draws_one_bar_per_method_worst_first(tmp_path: Path) -> None:
    rows = pd.DataFrame({"method": ["prerec", "pop"], "recall": [0.3, 0.1], "r_ndcg": [0.2, 0.05], "k_percent": 1.0})
    axes = plots.plot_comparison(rows)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["pop", "prerec"]
    assert [bar.get_width() for bar in axes[1].patches] == [0.05, 0.2]
    assert axes[0].get_xlabel() == "Recall @ 1 %"
    colours = {bar.get_facecolor() for bar in axes[0].patches}
    assert len(colours) == 2, "the highlighted method stands out"
    plots.save(axes, str(tmp_path / "picture.png"))
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def curve_rows() -> pd.DataFrame:
    lines = [("pop", "POP", "untrained", 0, 0.1), ("prerec", "PreRec", "zero-shot", 0, 0.2)]
    for samples, gain in ((10, 0.0), (100, 0.1), (432, 0.2)):
        lines += [("prerec_fine_tuned", "PreRec", "fine-tuned", samples, 0.3 + gain)]
        lines += [("sasrec_scratch", "SASRec*", "scratch", samples, 0.1 + gain)]
    frame = pd.DataFrame(lines, columns=["row", "label", "stage", "samples", "r_ndcg"])
    frame["recall"], frame["recall_half_width"], frame["r_ndcg_half_width"] = 2 * frame["r_ndcg"], 5.0, None
    return pd.concat([frame.assign(target=target, k_percent=0.5) for target in ("shop", "stall")])


def test_curves_are_solid_dashed_or_horizontal(tmp_path: Path) -> None:
    axes = plots.plot_curves(curve_rows())
    assert len(axes) == 4
    first = axes[0]
    lines = {line.get_label(): line for line in first.get_lines()}
    assert list(lines) == ["POP", "PreRec, zero-shot", "PreRec", "SASRec*"]
    assert lines["PreRec"].get_xdata().tolist() == [10, 100, 432]
    assert lines["PreRec"].get_ydata().tolist() == [0.3, 0.4, 0.5]
    assert [line.get_linestyle() for line in lines.values()] == [":", ":", "-", "--"]
    assert set(lines["POP"].get_ydata()) == {0.1}
    assert (first.get_title(), first.get_ylabel(), axes[2].get_ylabel()) == ("shop", "r-NDCG @ 0.5 %", "Recall @ 0.5 %")
    assert axes[2].get_xscale() == "log"
    assert [label.get_text() for label in axes[2].get_xticklabels()] == ["10", "100", "all\n432"]
    assert axes[2].get_ylim() == (0, 1.2), "the range of the lines, not of the bands"
    paths = [tmp_path / "one.partial", tmp_path / "two.partial"]
    plots.save(axes, *paths, formats=("png", "svg"))
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in paths[1].read_bytes()


def test_horizontal_lines_alone_can_be_drawn(tmp_path: Path) -> None:
    rows = curve_rows()
    plots.save(plots.plot_curves(rows[rows["samples"] == 0]), str(tmp_path / "level.svg"))
    assert (tmp_path / "level.svg").stat().st_size > 1000


def test_popularity_is_drawn_as_the_share_at_least_as_large() -> None:
    rows = pd.DataFrame({"domain": ["a"] * 4 + ["b"] * 2, "count": [1, 1, 2, 8, 3, 3], "score": [0.0] * 6})
    axes = plots.plot_popularity(rows)
    assert [axis.get_xlabel() for axis in axes] == ["interactions $c_j$", "popularity score $Z \\cdot W_z$"]
    a, b = axes[0].get_lines()
    assert a.get_xdata().tolist() == [1, 2, 8]
    assert a.get_ydata().tolist() == [1.0, 0.5, 0.25]
    assert (b.get_xdata().tolist(), b.get_ydata().tolist()) == ([3], [1.0])
    assert (axes[0].get_xscale(), axes[1].get_xscale()) == ("log", "linear")
    matplotlib.pyplot.close(axes[0].figure)


def test_many_points_are_thinned_except_the_tail() -> None:
    values = pd.Series(range(1, 50_001))
    axes = plots.plot_popularity(pd.DataFrame({"domain": "a", "count": values}))
    (line,) = axes[0].get_lines()
    assert 500 < len(line.get_xdata()) <= 1001
    assert line.get_xdata()[-3:].tolist() == [49_998, 49_999, 50_000]
    for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True):
        assert abs(y - (values >= x).mean()) < 1e-9
    matplotlib.pyplot.close(axes[0].figure)

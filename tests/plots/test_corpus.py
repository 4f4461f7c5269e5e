"""Pictures over a corpus show the numbers of the rows."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")

from prerec_pyro import plots


def test_transfer_draws_each_target_with_its_interval(tmp_path: Path) -> None:
    lines = []
    for place, target in enumerate(("shop", "films", "geometric mean")):
        for shift, (row, label) in enumerate((("prerec", "PreRec"), ("prerec_calibrated", "PreRec, calibrated"))):
            ratio = 1.0 + 0.1 * place + 0.5 * shift
            head = {"target": target, "row": row, "label": label, "ratio": ratio}
            lines += [head | {"metric": m, "low": ratio - 0.2, "high": ratio + 0.2} for m in ("recall", "r_ndcg")]
    rows = pd.DataFrame(lines)
    rows.loc[(rows["target"] == "films") & (rows["row"] == "prerec"), ["ratio", "low", "high"]] = np.nan
    axes = plots.plot_transfer(rows)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["shop", "films", "geometric mean"]
    assert axes[0].yaxis_inverted()
    assert axes[1].get_xlabel() == "r-NDCG, ratio to the best other row"
    level, plain, calibrated = axes[0].get_lines()
    assert set(level.get_xdata()) == {1.0}
    assert plain.get_label() == "PreRec"
    assert np.array_equal(plain.get_xdata(), [1.0, np.nan, 1.2], equal_nan=True)
    assert np.allclose(calibrated.get_xdata(), [1.5, 1.6, 1.7])
    assert (plain.get_ydata() < calibrated.get_ydata()).all()
    bars = axes[0].collections[1].get_segments()
    assert np.allclose([bar[:, 0] for bar in bars], [[1.3, 1.7], [1.4, 1.8], [1.5, 1.9]])
    plots.save(axes, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_scaling_draws_the_mean_and_single_orders(tmp_path: Path) -> None:
    lines = []
    for order, shift in ((0, -0.1), (1, 0.1), (-1, 0.0)):
        for domains in (6, 1, 3):
            head = {"row": "prerec", "label": "PreRec", "order": order, "domains": domains}
            head |= {"interactions": 1000 * domains + order, "ratio": 1 + domains / 10 + shift}
            lines += [head | {"metric": metric} for metric in ("recall", "r_ndcg")]
    axes = plots.plot_scaling(pd.DataFrame(lines))
    assert len(axes) == 4
    labelled = [line for line in axes[0].get_lines() if line.get_label() == "PreRec"]
    assert len(labelled) == 1
    assert labelled[0].get_xdata().tolist() == [1, 3, 6]
    assert np.allclose(labelled[0].get_ydata(), [1.1, 1.3, 1.6])
    faint = [line for line in axes[1].get_lines() if line.get_alpha() is not None]
    assert [line.get_xdata().tolist() for line in faint] == [[1000, 3000, 6000], [1001, 3001, 6001]]
    assert [axis.get_xscale() for axis in axes[:2]] == ["log", "log"]
    assert (axes[2].get_xlabel(), axes[3].get_xlabel()) == ("source domains", "interactions in them")
    assert [label.get_text() for label in axes[0].get_xticklabels()] == ["1", "3", "6"]
    plots.save(axes, tmp_path / "picture.svg")

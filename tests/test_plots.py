from __future__ import annotations

from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")

from prerec_pyro.plots import plot_comparison, save


def test_comparison_draws_one_bar_a_method_worst_first(tmp_path: Path) -> None:
    rows = pd.DataFrame({"method": ["prerec", "pop"], "recall": [0.3, 0.1], "r_ndcg": [0.2, 0.05], "k_percent": 1.0})
    axes = plot_comparison(rows)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["pop", "prerec"]
    assert [bar.get_width() for bar in axes[1].patches] == [0.05, 0.2]
    assert axes[0].get_xlabel() == "Recall @ 1 %"
    colours = {bar.get_facecolor() for bar in axes[0].patches}
    assert len(colours) == 2, "the highlighted method stands out"
    save(axes, str(tmp_path / "picture.png"))
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")

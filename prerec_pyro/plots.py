"""Pictures: tables in, matplotlib axes out."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

# Colour-blind safe (Okabe and Ito); the method that the picture is about gets the strong one.
_QUIET, _STRONG = "#9aa5b1", "#0072b2"


def plot_comparison(
    rows: pd.DataFrame, metrics: tuple[str, str] = ("recall", "r_ndcg"), ax: Any = None, highlight: str = "prerec"
) -> list[Axes]:
    """Return two axes of horizontal bars, one a metric: methods from worst to best of the first.

    Parameters
    ----------
    rows
        Columns ``method`` and the metrics, as `evaluate` writes them, one row a method.
    metrics
        What to draw.
    ax
        A sequence of as many axes; None makes a figure.
    highlight
        The method drawn in colour.
    """
    names = {"recall": "Recall", "r_ndcg": "r-NDCG", "ndcg@10": "NDCG@10", "recall@10": "Recall@10"}
    axes = ax if ax is not None else plt.subplots(1, len(metrics), figsize=(8, 0.5 * len(rows) + 1.3), sharey=True)[1]
    table = rows.sort_values(metrics[0])
    colours = [_STRONG if method == highlight else _QUIET for method in table["method"]]
    for metric, axis in zip(metrics, axes, strict=True):
        bars = axis.barh(table["method"], table[metric], color=colours)
        axis.bar_label(bars, fmt="%.3f", padding=3)
        axis.set_xlim(0, 1.18 * max(table[metric].max(), 1e-9))
        k = f" @ {rows['k_percent'].iloc[0]:g} %" if "k_percent" in rows and metric in ("recall", "r_ndcg") else ""
        axis.set_xlabel(names.get(metric, metric) + k)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].figure.tight_layout()
    return list(axes)


def save(axes: list[Axes], path: str) -> None:
    """Write the axes' figure to a file, at print resolution, and close it."""
    figure = axes[0].figure
    figure.savefig(path, dpi=160)
    plt.close(figure)

"""Pictures of prior predictive checks and of prior sensitivity."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from prerec_pyro.plots.figures import CONTRAST, QUIET, STRONG, hide_frame, legend_beside

_STATISTIC_NAMES = {
    "top_1_percent": "on the top 1 %",
    "top_5_percent": "on the top 5 %",
    "top_20_percent": "on the top 20 %",
    "repeats": "on seen items",
    "distinct": "distinct items",
    "heldout_rank": "rank of the true item",
    "entropy": "entropy",
}


def plot_prior_predictive(curves: pd.DataFrame, summary: pd.DataFrame) -> list[Axes]:
    """Return two axes: how concentrated choices are on popular items, and the other statistics.

    The prior is blue: its median, and the interval that holds 90 % of its draws. The observed values are orange.

    Parameters
    ----------
    curves
        ``draw, percent, share``; draw -1 holds the observed values.
    summary
        ``observed, mean, 5%, 95%``; the index names the statistics.

    Examples
    --------
    >>> import pandas as pd
    >>> curves = pd.DataFrame({"draw": [-1, -1, 0, 0], "percent": [1, 20] * 2, "share": [0.1, 0.5, 0.2, 0.6]})
    >>> summary = pd.DataFrame({"observed": 0.3, "mean": 0.4, "5%": 0.2, "95%": 0.6}, index=["entropy"])
    >>> _, statistics = plot_prior_predictive(curves, summary)
    >>> [label.get_text() for label in statistics.get_yticklabels()]
    ['entropy']
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4))
    _draw_concentration(left, curves)
    place = np.arange(len(summary))[::-1]
    right.hlines(place, summary["5%"], summary["95%"], color=STRONG, linewidth=5, alpha=0.35)
    right.plot(summary["mean"], place, "o", color=STRONG, markersize=6)
    right.plot(summary["observed"], place, "o", color=CONTRAST, markersize=6)
    right.set_yticks(place, [_STATISTIC_NAMES.get(name, name) for name in summary.index])
    right.set_xlim(-0.03, 1.03)
    right.set_xlabel("share")
    hide_frame(left, right)
    figure.tight_layout()
    return [left, right]


def _draw_concentration(axis: Axes, curves: pd.DataFrame) -> None:
    """Draw the share of the choices that falls on the most popular items, prior and observed."""
    drawn = curves[curves["draw"] >= 0].groupby("percent")["share"]
    low, middle, high = (drawn.quantile(level) for level in (0.05, 0.5, 0.95))
    axis.fill_between(low.index, low, high, color=STRONG, alpha=0.2, linewidth=0)
    axis.plot(middle.index, middle, color=STRONG, linewidth=2, label="prior")
    seen = curves[curves["draw"] < 0].sort_values("percent")
    axis.plot(seen["percent"], seen["share"], color=CONTRAST, linewidth=2, marker="o", markersize=4, label="observed")
    axis.plot(seen["percent"], seen["percent"] / 100, color=QUIET, linestyle=":", label="uniform choice")
    axis.set_xscale("log")
    axis.set_xticks(seen["percent"], [f"{percent:g}" for percent in seen["percent"]])
    axis.set_xticks([], minor=True)
    axis.set_xlabel("% of the items, the most popular of the day first")
    axis.set_ylabel("share of the choices")
    axis.set_ylim(0, 1.02)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.legend(frameon=False, loc="upper left")


def plot_prior_sensitivity(table: pd.DataFrame, metric: str = "r_ndcg") -> list[Axes]:
    """Return two axes: the validation metric under each prior, and the share of the lists that stays the same.

    Parameters
    ----------
    table
        One row per prior and domain: ``prior, domain``, the metric and ``overlap``. The first prior is the reference.
    metric
        Column to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"prior": ["default", "wide"], "domain": "shop", "r_ndcg": [0.2, 0.25], "overlap": [1.0, 0.8]}
    >>> axes = plot_prior_sensitivity(pd.DataFrame(rows))
    >>> [label.get_text() for label in axes[0].get_yticklabels()]
    ['default', 'wide']
    """
    priors, domains = list(table["prior"].unique()), list(table["domain"].unique())
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.45 * len(priors) + 1.6), sharey=True)
    place = np.arange(len(priors))[::-1]
    colours = plt.get_cmap("viridis")(np.linspace(0.15, 0.8, len(domains)))
    for colour, domain in zip(colours, domains, strict=True):
        part = table[table["domain"] == domain].set_index("prior").loc[priors]
        for axis, column in zip(axes, (metric, "overlap"), strict=True):
            axis.plot(part[column], place, "o", color=colour, label=domain)
            if column == metric:
                axis.axvline(part[column].iloc[0], color=colour, linewidth=1, linestyle=":")
    axes[0].set_yticks(place, priors)
    axes[0].set_xlabel({"r_ndcg": "validation r-NDCG", "recall": "validation Recall"}.get(metric, metric))
    axes[1].set_xlabel(f"share of the lists in common with {priors[0]}")
    axes[1].set_xlim(0, 1.03)
    for axis in axes:
        axis.set_ylim(-0.6, len(priors) - 0.4)
        hide_frame(axis)
    figure.tight_layout()
    legend_beside(figure, axes[:1])
    return list(axes)

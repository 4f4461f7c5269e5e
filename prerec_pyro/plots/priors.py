"""Pictures of what priors say: tables in, matplotlib axes out."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

_QUIET, _STRONG, _SEEN = "#9aa5b1", "#0072b2", "#d55e00"
_NAMES = {
    "top_1_percent": "on the top 1 %",
    "top_5_percent": "on the top 5 %",
    "top_20_percent": "on the top 20 %",
    "repeats": "met before",
    "distinct": "distinct items",
    "heldout_rank": "rank of the true item",
    "entropy": "entropy",
}


def plot_prior_predictive(curves: pd.DataFrame, summary: pd.DataFrame) -> list[Axes]:
    """Return two axes: how concentrated choices are on popular items, and the other statistics.

    Blue is the prior, its median and the interval that holds 90 % of the draws; orange is what was observed.

    Parameters
    ----------
    curves
        ``draw, percent, share``; draw -1 is what was observed.
    summary
        ``observed, mean, 5%, 95%`` by statistic.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4))
    drawn = curves[curves["draw"] >= 0].groupby("percent")["share"]
    low, middle, high = (drawn.quantile(level) for level in (0.05, 0.5, 0.95))
    left.fill_between(low.index, low, high, color=_STRONG, alpha=0.2, linewidth=0)
    left.plot(middle.index, middle, color=_STRONG, linewidth=2, label="prior")
    seen = curves[curves["draw"] < 0].sort_values("percent")
    left.plot(seen["percent"], seen["share"], color=_SEEN, linewidth=2, marker="o", markersize=4, label="observed")
    left.plot(seen["percent"], seen["percent"] / 100, color=_QUIET, linestyle=":", label="uniform choice")
    left.set_xscale("log")
    left.set_xticks(seen["percent"], [f"{percent:g}" for percent in seen["percent"]])
    left.set_xticks([], minor=True)
    left.set_xlabel("% of the items, the most popular of the day first")
    left.set_ylabel("share of the choices")
    left.set_ylim(0, 1.02)
    left.yaxis.set_major_formatter(PercentFormatter(1.0))
    left.legend(frameon=False, loc="upper left")

    place = np.arange(len(summary))[::-1]
    right.hlines(place, summary["5%"], summary["95%"], color=_STRONG, linewidth=5, alpha=0.35)
    right.plot(summary["mean"], place, "o", color=_STRONG, markersize=6)
    right.plot(summary["observed"], place, "o", color=_SEEN, markersize=6)
    right.set_yticks(place, [_NAMES.get(name, name) for name in summary.index])
    right.set_xlim(-0.03, 1.03)
    right.set_xlabel("share")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return [left, right]


def plot_prior_sensitivity(table: pd.DataFrame, metric: str = "r_ndcg") -> list[Axes]:
    """Return two axes: what the validation metric is under each prior, and how much of the lists stays as it was.

    Parameters
    ----------
    table
        ``prior, domain``, the metric and ``overlap``, a row a prior and domain; the first prior is the one compared to.
    metric
        What to draw.
    """
    priors, domains = list(table["prior"].unique()), list(table["domain"].unique())
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.45 * len(priors) + 1.6), sharey=True)
    place = np.arange(len(priors))[::-1]
    colours = plt.get_cmap("viridis")(np.linspace(0.15, 0.8, len(domains)))
    for colour, domain in zip(colours, domains, strict=True):
        here = table[table["domain"] == domain].set_index("prior").loc[priors]
        for axis, column in zip(axes, (metric, "overlap"), strict=True):
            axis.plot(here[column], place, "o", color=colour, label=domain)
            if column == metric:
                axis.axvline(here[column].iloc[0], color=colour, linewidth=1, linestyle=":")
    axes[0].set_yticks(place, priors)
    axes[0].set_xlabel({"r_ndcg": "validation r-NDCG", "recall": "validation Recall"}.get(metric, metric))
    axes[1].set_xlabel(f"share of the lists that is as under {priors[0]}")
    axes[1].set_xlim(0, 1.03)
    for axis in axes:
        axis.set_ylim(-0.6, len(priors) - 0.4)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return list(axes)

"""Pictures of answers to causal questions: tables in, matplotlib axes out."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

# Colour-blind safe (Okabe and Ito).
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_QUIET = "#9aa5b1"
_NAMES = {
    "recall": "Recall@K%",
    "r_ndcg": "r-NDCG@K%",
    "ndcg@10": "NDCG@10",
    "mrr": "MRR",
    "mean_popularity": "mean popularity of\nwhat is shown",
    "coverage": "share of the catalogue\nthat is shown",
    "gini_exposure": "Gini index of exposure",
}


def plot_dial(
    table: pd.DataFrame, metrics: tuple[str, ...] = ("r_ndcg", "recall", "mean_popularity", "coverage", "gini_exposure")
) -> list[Axes]:
    """Return axes, one a metric: what it is at each stop of the popularity dial, with its 95 % interval as a band.

    Parameters
    ----------
    table
        Of a `Dial`: ``value``, the metrics, ``<metric>_low`` and ``<metric>_high``.
    metrics
        What to draw.
    """
    figure, grid = plt.subplots(1, len(metrics), figsize=(2.5 * len(metrics), 2.9), squeeze=False, sharex=True)
    axes, observed = list(grid.flat), table[table["value"] == 1]
    for metric, axis in zip(metrics, axes, strict=True):
        colour = _SERIES[0] if metric in ("recall", "r_ndcg", "ndcg@10", "mrr") else _SERIES[1]
        axis.plot(table["value"], table[metric], color=colour, linewidth=1.8, marker="o", markersize=3.5)
        axis.fill_between(
            table["value"], table[f"{metric}_low"], table[f"{metric}_high"], color=colour, alpha=0.15, linewidth=0
        )
        axis.plot(observed["value"], observed[metric], "o", color=colour, markersize=9, markerfacecolor="white")
        axis.axvline(1, color=_QUIET, linewidth=0.8, linestyle=":", zorder=0)
        axis.set_ylim(0, 1.12 * max(table[f"{metric}_high"].max(), table[metric].max(), 1e-9))
        axis.set_title(_NAMES.get(metric, metric), fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        _dial_axis(axis, table["value"])
    figure.supxlabel("popularity, in multiples of what it is: do(Z = x · Z)", fontsize=10)
    figure.tight_layout()
    return axes


def _dial_axis(axis: Axes, values: pd.Series) -> None:
    names = {0.0: "0\nnone", 1.0: "1\nobserved", 2.0: "2\ndoubled"}
    ticks = [value for value in names if values.min() <= value <= values.max()]
    if len(ticks) < 2:
        return
    axis.set_xticks(ticks, [names[tick] for tick in ticks], fontsize=9)


def plot_effect(
    changes: pd.DataFrame, by_popularity: pd.DataFrame, metrics: tuple[str, ...] = ("r_ndcg", "recall")
) -> list[Axes]:
    """Return axes: what changes in each metric, an arm a row, with intervals; and who is shown, by popularity.

    Parameters
    ----------
    changes
        ``arm, metric, value, low, high``, of the differences to how things are.
    by_popularity
        ``arm, group, share`` of an `Effect`, how things are first.
    metrics
        Whose changes to draw.
    """
    arms = list(by_popularity["arm"].unique())
    size = {"width_ratios": [1.0] * len(metrics) + [1.5]}
    figure, grid = plt.subplots(
        1, len(metrics) + 1, figsize=(3 * len(metrics) + 4.5, 0.35 * len(arms) + 2.2), gridspec_kw=size
    )
    *left, right = grid
    colours = {arm: "#000000" if not place else _SERIES[(place - 1) % len(_SERIES)] for place, arm in enumerate(arms)}
    for metric, axis in zip(metrics, left, strict=True):
        _draw_changes(axis, changes[changes["metric"] == metric], arms[1:], colours)
        axis.set_title(f"change in {_NAMES.get(metric, metric)}", fontsize=10)
    for axis in left[1:]:
        axis.set_yticklabels([])
    for arm in arms:
        here = by_popularity[by_popularity["arm"] == arm]
        style: dict[str, Any] = {"linewidth": 2.2} if arm == arms[0] else {"linewidth": 1.5, "alpha": 0.9}
        right.plot(here["group"], here["share"], color=colours[arm], marker="o", markersize=3, label=arm, **style)
    right.axhline(1 / by_popularity["group"].nunique(), color=_QUIET, linewidth=0.8, linestyle=":", zorder=0)
    right.set_xlabel("tenth of the catalogue, from the least popular", fontsize=9)
    right.set_title("share of the places shown", fontsize=10)
    right.set_ylim(bottom=0)
    right.legend(frameon=False, fontsize=8)
    right.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return list(grid)


def _draw_changes(axis: Axes, rows: pd.DataFrame, arms: list[str], colours: dict[str, str]) -> None:
    axis.axvline(0, color=_QUIET, linewidth=0.8, linestyle=":", zorder=0)
    for place, arm in enumerate(arms):
        for one in rows[rows["arm"] == arm].itertuples():
            axis.plot([one.low, one.high], [place, place], color=colours[arm], linewidth=2)
            axis.plot(one.value, place, "o", color=colours[arm], markersize=5)
    axis.set_yticks(range(len(arms)), arms, fontsize=9)
    axis.set_ylim(len(arms) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def plot_reliability(table: pd.DataFrame) -> list[Axes]:
    """Return axes, one a curve of `reliability`: what happened against what was expected, and the diagonal.

    Parameters
    ----------
    table
        ``curve, expected, observed, low, high``.
    """
    names = {
        "stability": ("share of the list expected to stay", "share that stays in held-out draws"),
        "hits": ("expected hit rate", "hit rate"),
        "confidence": ("confidence", "hit rate"),
    }
    curves = [name for name in names if name in set(table["curve"])]
    figure, grid = plt.subplots(1, len(curves), figsize=(3.1 * len(curves), 3.0), squeeze=False)
    axes = list(grid.flat)
    for name, axis in zip(curves, axes, strict=True):
        rows = table[table["curve"] == name]
        axis.vlines(rows["expected"], rows["low"], rows["high"], color=_SERIES[0], linewidth=2)
        axis.plot(rows["expected"], rows["observed"], "o-", color=_SERIES[0], markersize=4, linewidth=1)
        if name != "confidence":
            ends = [min(rows["expected"].min(), rows["low"].min()), max(rows["expected"].max(), rows["high"].max())]
            axis.plot(ends, ends, color=_QUIET, linewidth=1, linestyle="--", zorder=0)
        axis.set_xlabel(names[name][0], fontsize=9)
        axis.set_ylabel(names[name][1], fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return axes


def plot_drift(table: pd.DataFrame) -> list[Axes]:
    """Return one axis: each coordinate before and since, with 95 % intervals, in standard deviations of what was known.

    Parameters
    ----------
    table
        Of a `Drift`: ``coordinate, before, before_sd, after, after_sd, z``.
    """
    figure, axis = plt.subplots(figsize=(6, 0.45 * len(table) + 1.3))
    for place, one in enumerate(table.itertuples()):
        for shift, mean, spread, colour in (
            (-0.13, one.before, one.before_sd, _QUIET),
            (0.13, one.after, one.after_sd, _SERIES[1] if abs(one.z) > 3 else _SERIES[0]),
        ):
            ends = [(mean - one.before + sign * 1.96 * spread) / one.before_sd for sign in (-1, 0, 1)]
            axis.plot([ends[0], ends[2]], [place + shift] * 2, color=colour, linewidth=2.2)
            axis.plot(ends[1], place + shift, "o", color=colour, markersize=5)
    axis.axvline(0, color=_QUIET, linewidth=0.8, linestyle=":", zorder=0)
    axis.set_yticks(range(len(table)), table["coordinate"], fontsize=9)
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_xlabel("distance from what was known, in its standard deviations\n(grey: known before; colour: since)")
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return [axis]

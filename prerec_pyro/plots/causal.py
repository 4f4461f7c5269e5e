"""Pictures of causal reports: popularity dial, effects, reliability and drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from prerec_pyro.plots.figures import CONTRAST, QUIET, SERIES, STRONG, hide_frame

_METRIC_NAMES = {
    "recall": "Recall@K%",
    "r_ndcg": "r-NDCG@K%",
    "ndcg@10": "NDCG@10",
    "mrr": "MRR",
    "mean_popularity": "mean popularity\nof the shown items",
    "coverage": "share of the catalogue\nthat is shown",
    "gini_exposure": "Gini index of exposure",
}
_ACCURACY = ("recall", "r_ndcg", "ndcg@10", "mrr")
_CURVE_LABELS = {
    "stability": ("share of the list expected to stay", "share that stays in held-out draws"),
    "hits": ("expected hit rate", "hit rate"),
    "confidence": ("confidence", "hit rate"),
}
_DIAGONAL = ("stability", "hits")  # the curves whose two axes have the same meaning


def plot_dial(
    table: pd.DataFrame, metrics: tuple[str, ...] = ("r_ndcg", "recall", "mean_popularity", "coverage", "gini_exposure")
) -> list[Axes]:
    """Return one axis per metric: its value at each stop of the popularity dial, with its 95 % interval as a band.

    Parameters
    ----------
    table
        Table of a `Dial`: ``value``, the metrics, ``<metric>_low`` and ``<metric>_high``.
    metrics
        Columns to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"value": [0.0, 1.0], "mrr": [0.1, 0.3], "mrr_low": [0.0, 0.2], "mrr_high": [0.2, 0.4]})
    >>> (axis,) = plot_dial(table, metrics=("mrr",))
    >>> axis.get_title(), axis.get_lines()[0].get_ydata().tolist()
    ('MRR', [0.1, 0.3])
    """
    figure, grid = plt.subplots(1, len(metrics), figsize=(2.5 * len(metrics), 2.9), squeeze=False, sharex=True)
    axes, observed = list(grid.flat), table[table["value"] == 1]
    for metric, axis in zip(metrics, axes, strict=True):
        colour = STRONG if metric in _ACCURACY else CONTRAST
        low, high = table[f"{metric}_low"], table[f"{metric}_high"]
        axis.plot(table["value"], table[metric], color=colour, linewidth=1.8, marker="o", markersize=3.5)
        axis.fill_between(table["value"], low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(observed["value"], observed[metric], "o", color=colour, markersize=9, markerfacecolor="white")
        axis.axvline(1, color=QUIET, linewidth=0.8, linestyle=":", zorder=0)
        axis.set_ylim(0, 1.12 * max(high.max(), table[metric].max(), 1e-9))
        axis.set_title(_METRIC_NAMES.get(metric, metric), fontsize=10)
        hide_frame(axis)
        _dial_ticks(axis, table["value"])
    figure.supxlabel("multiple of the observed popularity: do(Z = x · Z)", fontsize=10)
    figure.tight_layout()
    return axes


def _dial_ticks(axis: Axes, values: pd.Series) -> None:
    names = {0.0: "0\nnone", 1.0: "1\nobserved", 2.0: "2\ndoubled"}
    ticks = [value for value in names if values.min() <= value <= values.max()]
    if len(ticks) < 2:
        return
    axis.set_xticks(ticks, [names[tick] for tick in ticks], fontsize=9)


def plot_effect(
    changes: pd.DataFrame, by_popularity: pd.DataFrame, metrics: tuple[str, ...] = ("r_ndcg", "recall")
) -> list[Axes]:
    """Return axes: the change of each metric, one row per arm with its interval; then exposure by popularity.

    Parameters
    ----------
    changes
        ``arm, metric, value, low, high``: differences from the factual arm, as `Effect.changes` returns them.
    by_popularity
        ``arm, group, share`` of an `Effect`, the factual arm first.
    metrics
        Metrics to draw the changes of.

    Examples
    --------
    >>> import pandas as pd
    >>> change = {"arm": "do(Z = 0)", "metric": "recall", "value": -0.02, "low": -0.03, "high": -0.01}
    >>> groups = {"arm": ["factual"] * 2 + ["do(Z = 0)"] * 2, "group": [1, 2] * 2, "share": [0.3, 0.7, 0.5, 0.5]}
    >>> change_axis, share_axis = plot_effect(pd.DataFrame([change]), pd.DataFrame(groups), metrics=("recall",))
    >>> [text.get_text() for text in share_axis.get_legend().get_texts()]
    ['factual', 'do(Z = 0)']
    """
    arms = list(by_popularity["arm"].unique())
    size = (3 * len(metrics) + 4.5, 0.35 * len(arms) + 2.2)
    widths = {"width_ratios": [1.0] * len(metrics) + [1.5]}
    figure, grid = plt.subplots(1, len(metrics) + 1, figsize=size, gridspec_kw=widths)
    *left, right = grid
    colours = {arm: SERIES[(place - 1) % len(SERIES)] if place else "#000000" for place, arm in enumerate(arms)}
    for metric, axis in zip(metrics, left, strict=True):
        _draw_changes(axis, changes[changes["metric"] == metric], arms[1:], colours)
        axis.set_title(f"change in {_METRIC_NAMES.get(metric, metric)}", fontsize=10)
    for axis in left[1:]:
        axis.set_yticklabels([])
    _draw_shares(right, by_popularity, arms, colours)
    figure.tight_layout()
    return list(grid)


def _draw_changes(axis: Axes, rows: pd.DataFrame, arms: Sequence[str], colours: dict[str, str]) -> None:
    axis.axvline(0, color=QUIET, linewidth=0.8, linestyle=":", zorder=0)
    for place, arm in enumerate(arms):
        for row in rows[rows["arm"] == arm].itertuples():
            axis.plot([row.low, row.high], [place, place], color=colours[arm], linewidth=2)
            axis.plot(row.value, place, "o", color=colours[arm], markersize=5)
    axis.set_yticks(range(len(arms)), arms, fontsize=9)
    axis.set_ylim(len(arms) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=8)
    hide_frame(axis)


def _draw_shares(axis: Axes, by_popularity: pd.DataFrame, arms: Sequence[str], colours: dict[str, str]) -> None:
    """Draw the share of the shown places by tenth of the catalogue, one line per arm, the factual one thicker."""
    for arm in arms:
        rows = by_popularity[by_popularity["arm"] == arm]
        style: dict[str, Any] = {"linewidth": 2.2} if arm == arms[0] else {"linewidth": 1.5, "alpha": 0.9}
        axis.plot(rows["group"], rows["share"], color=colours[arm], marker="o", markersize=3, label=arm, **style)
    axis.axhline(1 / by_popularity["group"].nunique(), color=QUIET, linewidth=0.8, linestyle=":", zorder=0)
    axis.set_xlabel("tenth of the catalogue, from the least popular", fontsize=9)
    axis.set_title("share of the shown places", fontsize=10)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8)
    hide_frame(axis)


def plot_reliability(table: pd.DataFrame) -> list[Axes]:
    """Return one axis per curve of `reliability`: observed against expected, and the diagonal.

    Parameters
    ----------
    table
        ``curve, expected, observed, low, high``.

    Examples
    --------
    >>> import pandas as pd
    >>> bins = {"curve": "hits", "expected": [0.2, 0.6], "observed": [0.3, 0.5], "low": [0.2, 0.4], "high": [0.4, 0.6]}
    >>> (axis,) = plot_reliability(pd.DataFrame(bins))
    >>> axis.get_xlabel(), axis.get_ylabel()
    ('expected hit rate', 'hit rate')
    """
    curves = [name for name in _CURVE_LABELS if name in set(table["curve"])]
    figure, grid = plt.subplots(1, len(curves), figsize=(3.1 * len(curves), 3.0), squeeze=False)
    axes = list(grid.flat)
    for name, axis in zip(curves, axes, strict=True):
        rows = table[table["curve"] == name]
        axis.vlines(rows["expected"], rows["low"], rows["high"], color=STRONG, linewidth=2)
        axis.plot(rows["expected"], rows["observed"], "o-", color=STRONG, markersize=4, linewidth=1)
        if name in _DIAGONAL:
            ends = [min(rows["expected"].min(), rows["low"].min()), max(rows["expected"].max(), rows["high"].max())]
            axis.plot(ends, ends, color=QUIET, linewidth=1, linestyle="--", zorder=0)
        expected, observed = _CURVE_LABELS[name]
        axis.set_xlabel(expected, fontsize=9)
        axis.set_ylabel(observed, fontsize=9)
        hide_frame(axis)
    figure.tight_layout()
    return axes


def plot_drift(table: pd.DataFrame) -> list[Axes]:
    """Return one axis: each coordinate before and since, with 95 % intervals.

    The unit is the standard deviation before; a coordinate that moved by more than 3 standard deviations is orange.

    Parameters
    ----------
    table
        Table of a `Drift`: ``coordinate, before, before_sd, after, after_sd, z``.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"coordinate": "S match", "before": 1.0, "before_sd": 0.5, "after": 1.2, "after_sd": 0.4, "z": 0.3}
    >>> (axis,) = plot_drift(pd.DataFrame([row]))
    >>> [label.get_text() for label in axis.get_yticklabels()]
    ['S match']
    """
    figure, axis = plt.subplots(figsize=(6, 0.45 * len(table) + 1.3))
    for place, row in enumerate(table.itertuples()):
        moved = CONTRAST if abs(row.z) > 3 else STRONG
        estimates = (
            (-0.13, row.before, row.before_sd, QUIET),
            (0.13, row.after, row.after_sd, moved),
        )
        for shift, mean, spread, colour in estimates:
            low, middle, high = ((mean - row.before + sign * 1.96 * spread) / row.before_sd for sign in (-1, 0, 1))
            axis.plot([low, high], [place + shift] * 2, color=colour, linewidth=2.2)
            axis.plot(middle, place + shift, "o", color=colour, markersize=5)
    axis.axvline(0, color=QUIET, linewidth=0.8, linestyle=":", zorder=0)
    axis.set_yticks(range(len(table)), table["coordinate"], fontsize=9)
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_xlabel("difference in standard deviations before\n(grey: before; colour: since)")
    hide_frame(axis)
    figure.tight_layout()
    return [axis]

"""Pictures over a corpus: the ratio of each target, and the ratio against the number of sources."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator, ScalarFormatter

from prerec_pyro.plots.figures import CONTRAST, QUIET, STRONG, hide_frame, legend_beside

_METRIC_NAMES = {"recall": "Recall", "r_ndcg": "r-NDCG"}
_COLOURS = (STRONG, CONTRAST)
_SHIFT = 0.14  # between the rows of one target


def plot_transfer(rows: pd.DataFrame, metrics: Sequence[str] = ("recall", "r_ndcg")) -> list[Axes]:
    """Return one axis per metric: for each target the ratio of our rows to the best other row, with its interval.

    Parameters
    ----------
    rows
        ``target, row, label, metric, ratio, low, high``; targets are drawn from top to bottom. NaN draws nothing.
    metrics
        Values of ``metric`` to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> head = {"row": "prerec", "label": "PreRec", "metric": "recall"}
    >>> numbers = {"ratio": 1.2, "low": 1.1, "high": 1.3}
    >>> rows = pd.DataFrame([head | numbers | {"target": target} for target in ("shop", "films")])
    >>> (axis,) = plot_transfer(rows, metrics=["recall"])
    >>> [label.get_text() for label in axis.get_yticklabels()]
    ['shop', 'films']
    """
    targets = list(rows["target"].unique())
    size = (4.2 * len(metrics) + 1.6, 0.42 * len(targets) + 1.3)
    figure, grid = plt.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False)
    axes = list(grid.flat)
    shown = rows["row"].unique()
    for metric, axis in zip(metrics, axes, strict=True):
        axis.axvline(1.0, color=QUIET, linewidth=1.0, zorder=0)
        for place, row in enumerate(shown):
            part = rows[(rows["row"] == row) & (rows["metric"] == metric)].set_index("target").reindex(targets)
            heights = np.arange(len(targets)) + _SHIFT * (2 * place - len(shown) + 1)
            colour = _COLOURS[place % len(_COLOURS)]
            axis.hlines(heights, part["low"], part["high"], color=colour, linewidth=1.6, alpha=0.7)
            axis.plot(part["ratio"], heights, "o", color=colour, markersize=4.5, label=part["label"].dropna().iloc[0])
        axis.set_yticks(range(len(targets)), targets)
        axis.set_xlabel(f"{_METRIC_NAMES.get(metric, metric)}, ratio to the best other row")
        hide_frame(axis)
    axes[0].invert_yaxis()  # shared by all axes
    figure.tight_layout()
    legend_beside(figure, axes[:1])
    return axes


def plot_scaling(rows: pd.DataFrame, metrics: Sequence[str] = ("recall", "r_ndcg")) -> list[Axes]:
    """Return axes of the ratio against the source domains (left) and their interactions (right), a line per metric.

    Strong lines are means over the orders of the sources, faint ones single orders.

    Parameters
    ----------
    rows
        ``row, label, metric, order, domains, interactions, ratio``; ``order`` is -1 for the mean.
    metrics
        Values of ``metric`` to draw, one row of axes each.

    Examples
    --------
    >>> import pandas as pd
    >>> head = {"row": "prerec", "label": "PreRec", "metric": "recall", "order": -1}
    >>> rows = pd.DataFrame([head | {"domains": n, "interactions": 1000 * n, "ratio": 1 + n / 10} for n in (1, 3)])
    >>> domains, interactions = plot_scaling(rows, metrics=["recall"])
    >>> interactions.get_lines()[0].get_xdata().tolist()
    [1000, 3000]
    """
    size = (8.4, 2.9 * len(metrics) + 0.6)
    figure, grid = plt.subplots(len(metrics), 2, figsize=size, squeeze=False, sharey="row")
    for metric, across in zip(metrics, grid, strict=True):
        for axis, column in zip(across, ("domains", "interactions"), strict=True):
            for place, (_, part) in enumerate(rows[rows["metric"] == metric].groupby("row", sort=False)):
                _draw_orders(axis, part, column, _COLOURS[place % len(_COLOURS)])
            axis.set_xscale("log")
            hide_frame(axis)
        across[0].set_ylabel(f"{_METRIC_NAMES.get(metric, metric)}, ratio to the\nbest row without sources")
        sizes = sorted(rows["domains"].unique())
        across[0].set_xticks(sizes)
        across[0].xaxis.set_major_formatter(ScalarFormatter())
        across[0].xaxis.set_minor_locator(NullLocator())
        across[1].xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        across[1].xaxis.set_major_formatter(EngFormatter(sep=""))  # 200k, 1M
        across[1].xaxis.set_minor_locator(NullLocator())
    grid[-1, 0].set_xlabel("source domains")
    grid[-1, 1].set_xlabel("interactions in them")
    figure.tight_layout()
    legend_beside(figure, list(grid.flat)[:1])
    return list(grid.flat)


def _draw_orders(axis: Axes, part: pd.DataFrame, column: str, colour: str) -> None:
    for order, line in part.groupby("order"):
        line = line.sort_values("domains")
        if order == -1:
            axis.plot(line[column], line["ratio"], "-o", color=colour, markersize=4, label=line["label"].iloc[0])
        else:
            axis.plot(line[column], line["ratio"], "-", color=colour, linewidth=0.8, alpha=0.35)

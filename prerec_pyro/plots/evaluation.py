"""Pictures of evaluations: comparison of methods, Fig. 3 (curves over samples) and Fig. 4 (popularity)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from prerec_pyro.plots.figures import QUIET, SERIES, STRONG, figure_of, hide_frame, legend_beside

_METHOD_COLOURS = {
    "prerec": STRONG,
    "unisrec": SERIES[1],
    "sasrec": SERIES[2],
    "gru4rec": SERIES[3],
    "sbert": "#6b7280",
}
_METRIC_NAMES = {"recall": "Recall", "r_ndcg": "r-NDCG", "ndcg@10": "NDCG@10", "recall@10": "Recall@10"}
_MEASURE_NAMES = {
    "count": "interactions $c_j$",
    "share": "share of the traffic",
    "F_1": "factor $F_1$",
    "F_2": "factor $F_2$",
    "score": "popularity score $Z \\cdot W_z$",
}
_MAX_POINTS = 1000  # of one line of Fig. 4


def plot_comparison(
    rows: pd.DataFrame,
    metrics: tuple[str, ...] = ("recall", "r_ndcg"),
    ax: Sequence[Axes] | None = None,
    highlight: str = "prerec",
) -> list[Axes]:
    """Return one axis per metric with horizontal bars: methods from worst to best by the first metric.

    Parameters
    ----------
    rows
        One row per method: ``method`` and the metrics, as `evaluate` writes them.
    metrics
        Columns to draw.
    ax
        Axes to draw in, one per metric; None makes a figure.
    highlight
        Method drawn in colour.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"method": ["prerec", "pop"], "recall": [0.3, 0.1], "r_ndcg": [0.2, 0.05]})
    >>> axes = plot_comparison(rows)
    >>> [label.get_text() for label in axes[0].get_yticklabels()]
    ['pop', 'prerec']
    """
    if ax is None:
        size = (4 * len(metrics), 0.5 * len(rows) + 1.3)
        axes = list(plt.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False)[1].flat)
    else:
        axes = list(ax)
    table = rows.sort_values(metrics[0])
    colours = [STRONG if method == highlight else QUIET for method in table["method"]]
    for metric, axis in zip(metrics, axes, strict=True):
        bars = axis.barh(table["method"], table[metric], color=colours)
        axis.bar_label(bars, fmt="%.3f", padding=3)
        axis.set_xlim(0, 1.18 * max(table[metric].max(), 1e-9))
        k = f" @ {rows['k_percent'].iloc[0]:g} %" if "k_percent" in rows and metric in ("recall", "r_ndcg") else ""
        axis.set_xlabel(_METRIC_NAMES.get(metric, metric) + k)
        hide_frame(axis)
    figure_of(axes).tight_layout()
    return axes


def plot_curves(rows: pd.DataFrame, metrics: tuple[str, ...] = ("r_ndcg", "recall")) -> list[Axes]:
    """Return axes of Fig. 3: each metric against the number of training samples of the target.

    There is one row of axes per metric and one column per target. Solid lines are pre-trained models, dashed lines
    are trained from scratch, and dotted horizontal lines use no sample of the target. Bands are 95 % intervals.

    Parameters
    ----------
    rows
        ``target, row, label, stage, samples``, ``k_percent``, the metrics and ``<metric>_half_width`` (NaN: no band).
        0 samples give a horizontal line.
    metrics
        Columns to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> head = {"target": "shop", "row": "prerec_fine_tuned", "label": "PreRec", "stage": "fine-tuned", "k_percent": 1}
    >>> rows = pd.DataFrame([head | {"samples": n, "recall": n / 1000, "recall_half_width": 0.01} for n in (10, 100)])
    >>> (axis,) = plot_curves(rows, metrics=("recall",))
    >>> axis.get_lines()[0].get_ydata().tolist()
    [0.01, 0.1]
    """
    targets = list(rows["target"].unique())
    size = (4.2 * len(targets) + 1.2, 2.9 * len(metrics) + 1.0)
    figure, grid = plt.subplots(len(metrics), len(targets), figsize=size, squeeze=False, sharex="col")
    for metric, across in zip(metrics, grid, strict=True):
        for target, axis in zip(targets, across, strict=True):
            part = rows[rows["target"] == target]
            for _, line in part.groupby("row", sort=False):
                _draw_curve(axis, line.sort_values("samples"), metric)
            axis.set_ylabel(f"{_METRIC_NAMES.get(metric, metric)} @ {part['k_percent'].iloc[0]:g} %")
            axis.set_ylim(0, 1.2 * max(part[metric].max(), 1e-9))  # not of the bands: few seeds make them huge
            hide_frame(axis)
    for target, top, bottom in zip(targets, grid[0], grid[-1], strict=True):
        top.set_title(target, fontsize=11)
        _samples_axis(bottom, sorted(set(rows.loc[(rows["target"] == target) & (rows["samples"] > 0), "samples"])))
    figure.tight_layout()
    legend_beside(figure, list(grid.flat), handle_length=3.2)
    return list(grid.flat)


def _draw_curve(axis: Axes, line: pd.DataFrame, metric: str) -> None:
    first = line.iloc[0]
    colour = _METHOD_COLOURS.get(first["row"].split("_")[0], QUIET)
    dashes = {"fine-tuned": "-", "scratch": "--"}.get(first["stage"], ":")
    label = first["label"] + (", zero-shot" if first["stage"] == "zero-shot" else "")
    if first["samples"] == 0:
        alpha = 0.55 if first["stage"] == "zero-shot" else 1.0
        axis.axhline(first[metric], color=colour, linestyle=dashes, linewidth=1.5, alpha=alpha, label=label)
        return
    width = 2.2 if first["row"].startswith("prerec") else 1.5
    axis.plot(
        line["samples"], line[metric], dashes, color=colour, linewidth=width, marker="o", markersize=3.5, label=label
    )
    half = pd.to_numeric(line[f"{metric}_half_width"])
    low = (line[metric] - half).clip(lower=0)
    axis.fill_between(line["samples"], low, line[metric] + half, color=colour, alpha=0.12, linewidth=0)


def _samples_axis(axis: Axes, samples: list[int]) -> None:
    axis.set_xscale("log")
    axis.set_xlabel("training samples of the target")
    if not samples:
        return
    *powers, last = samples
    powers = [number for number in powers if number < 0.5 * last]  # closer labels would overlap the last one
    ticks = [*powers, last]
    axis.set_xticks(ticks, [*(f"{number:,}" for number in powers), f"all\n{last:,}"])
    axis.set_xticks([], minor=True)


def plot_popularity(
    rows: pd.DataFrame, measures: tuple[str, ...] = ("count", "share", "F_1", "F_2", "score")
) -> list[Axes]:
    """Return axes of Fig. 4: for each measure of popularity, the share of the chosen items that reach each value.

    There is one axis per measure and one line per domain. Where the lines of the domains coincide, the measure means
    the same in all of them.

    Parameters
    ----------
    rows
        One row per item and time slot: ``domain`` and the measures. Measures without a column are left out.
    measures
        Columns to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> (axis,) = plot_popularity(pd.DataFrame({"domain": "shop", "count": [1, 1, 2, 8]}))
    >>> axis.get_lines()[0].get_ydata().tolist()
    [1.0, 0.5, 0.25]
    """
    measures = tuple(name for name in measures if name in rows)
    figure, grid = plt.subplots(1, len(measures), figsize=(2.9 * len(measures) + 1.0, 3.1), sharey=True, squeeze=False)
    axes = list(grid.flat)
    for measure, axis in zip(measures, axes, strict=True):
        for place, (domain, part) in enumerate(rows.groupby("domain", sort=False)):
            values, share = _share_at_least(part[measure].to_numpy())
            axis.step(values, share, where="pre", color=SERIES[place % len(SERIES)], linewidth=1.8, label=domain)
        axis.set_xlabel(_MEASURE_NAMES.get(measure, measure))
        axis.set_yscale("log")
        if measure != "score":
            axis.set_xscale("log")
        hide_frame(axis)
    axes[0].set_ylabel("share of the chosen items\nthat reach at least this")
    figure.tight_layout()
    legend_beside(figure, axes[:1])
    return axes


def _share_at_least(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values, ascending, and the share of values at least as large.

    Long lines are thinned to `_MAX_POINTS`, less towards the largest values.
    """
    distinct, times = np.unique(values, return_counts=True)
    share = 1.0 - (np.cumsum(times) - times) / len(values)
    if len(distinct) > _MAX_POINTS:
        steps = np.geomspace(1, len(distinct), _MAX_POINTS).round().astype(int)
        kept = np.unique(len(distinct) - steps)
        distinct, share = distinct[kept], share[kept]
    return distinct, share

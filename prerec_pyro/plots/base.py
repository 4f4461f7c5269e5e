"""Pictures: tables in, matplotlib axes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

# Colour-blind safe (Okabe and Ito); the method that the picture is about gets the strong one.
_QUIET, _STRONG = "#9aa5b1", "#0072b2"
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_COLOURS = {"prerec": _STRONG, "unisrec": "#d55e00", "sasrec": "#009e73", "gru4rec": "#cc79a7", "sbert": "#6b7280"}
_METRIC_NAMES = {"recall": "Recall", "r_ndcg": "r-NDCG", "ndcg@10": "NDCG@10", "recall@10": "Recall@10"}
_MEASURE_NAMES = {
    "count": "interactions $c_j$",
    "share": "share of the traffic",
    "F_1": "factor $F_1$",
    "F_2": "factor $F_2$",
    "score": "popularity score $Z \\cdot W_z$",
}


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
    axes = ax if ax is not None else plt.subplots(1, len(metrics), figsize=(8, 0.5 * len(rows) + 1.3), sharey=True)[1]
    table = rows.sort_values(metrics[0])
    colours = [_STRONG if method == highlight else _QUIET for method in table["method"]]
    for metric, axis in zip(metrics, axes, strict=True):
        bars = axis.barh(table["method"], table[metric], color=colours)
        axis.bar_label(bars, fmt="%.3f", padding=3)
        axis.set_xlim(0, 1.18 * max(table[metric].max(), 1e-9))
        k = f" @ {rows['k_percent'].iloc[0]:g} %" if "k_percent" in rows and metric in ("recall", "r_ndcg") else ""
        axis.set_xlabel(_METRIC_NAMES.get(metric, metric) + k)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].figure.tight_layout()
    return list(axes)


def plot_curves(rows: pd.DataFrame, metrics: tuple[str, ...] = ("r_ndcg", "recall")) -> list[Axes]:
    """Return axes of Fig. 3, a metric a row and a target a column: what is reached after so many samples.

    Solid: pre-trained. Dashed: from scratch. Dotted, level: without any sample of the target. Bands: 95 % intervals.

    Parameters
    ----------
    rows
        ``target, row, label, stage, samples``, ``k_percent``, the metrics and ``<metric>_half_width`` (NaN: no band);
        0 samples: a level line.
    metrics
        What to draw.
    """
    targets = list(rows["target"].unique())
    size = (4.2 * len(targets) + 1.2, 2.9 * len(metrics) + 1.0)
    figure, grid = plt.subplots(len(metrics), len(targets), figsize=size, squeeze=False, sharex="col")
    for metric, across in zip(metrics, grid, strict=True):
        for target, axis in zip(targets, across, strict=True):
            here = rows[rows["target"] == target]
            for _, line in here.groupby("row", sort=False):
                _draw_curve(axis, line.sort_values("samples"), metric)
            axis.set_ylabel(f"{_METRIC_NAMES.get(metric, metric)} @ {here['k_percent'].iloc[0]:g} %")
            axis.set_ylim(0, 1.2 * max(here[metric].max(), 1e-9))  # of the lines: few seeds have huge bands
            axis.spines[["top", "right"]].set_visible(False)
    for target, top, bottom in zip(targets, grid[0], grid[-1], strict=True):
        top.set_title(target, fontsize=11)
        _samples_axis(bottom, sorted(set(rows.loc[(rows["target"] == target) & (rows["samples"] > 0), "samples"])))
    labels = {handle.get_label(): handle for axis in grid.flat for handle in axis.get_lines()}
    figure.tight_layout()
    place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "frameon": False, "handlelength": 3.2}
    figure.legend(labels.values(), labels.keys(), **place)
    return list(grid.flat)


def _draw_curve(axis: Axes, line: pd.DataFrame, metric: str) -> None:
    first = line.iloc[0]
    colour = _COLOURS.get(first["row"].split("_")[0], _QUIET)
    level = first["samples"] == 0
    dashes = {"fine-tuned": "-", "scratch": "--"}.get(first["stage"], ":")
    label = first["label"] + (", zero-shot" if first["stage"] == "zero-shot" else "")
    if level:
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
    powers = [number for number in powers if number < 0.5 * last]  # their labels would run into the last one's
    ticks = [*powers, last]
    axis.set_xticks(ticks, [*(f"{number:,}" for number in powers), f"all\n{last:,}"])
    axis.set_xticks([], minor=True)


def plot_popularity(
    rows: pd.DataFrame, measures: tuple[str, ...] = ("count", "share", "F_1", "F_2", "score")
) -> list[Axes]:
    """Return axes of Fig. 4, one a measure: the share of the sold items that reach at least so much, a line a domain.

    Where the lines of the domains lie on each other, the measure means the same in all of them.

    Parameters
    ----------
    rows
        ``domain`` and the measures, a row an item and time slot; a measure that is no column is left out.
    measures
        What to draw.
    """
    measures = tuple(name for name in measures if name in rows)
    figure, grid = plt.subplots(1, len(measures), figsize=(2.9 * len(measures) + 1.0, 3.1), sharey=True, squeeze=False)
    axes = list(grid.flat)
    for measure, axis in zip(measures, axes, strict=True):
        for place, (domain, part) in enumerate(rows.groupby("domain", sort=False)):
            values, reach = _reach(part[measure].to_numpy())
            axis.step(values, reach, where="pre", color=_SERIES[place % len(_SERIES)], linewidth=1.8, label=domain)
        axis.set_xlabel(_MEASURE_NAMES.get(measure, measure))
        axis.set_yscale("log")
        if measure != "score":
            axis.set_xscale("log")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("share of the items sold\nthat reach at least this")
    figure.tight_layout()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return axes


def _reach(values: np.ndarray, most: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return distinct values, ascending, and the share that is at least as large; thinned, the tail last."""
    found, times = np.unique(values, return_counts=True)
    reach = 1.0 - (np.cumsum(times) - times) / len(values)
    if len(found) > most:
        steps = np.geomspace(1, len(found), most).round().astype(int)
        kept = np.unique(len(found) - steps)
        found, reach = found[kept], reach[kept]
    return found, reach


def save(axes: list[Axes], *paths: str, formats: Sequence[str] = ()) -> None:
    """Write the axes' figure to files, at print resolution, and close it.

    Parameters
    ----------
    axes
        What to save.
    paths
        Where to.
    formats
        ``"png"``, ``"svg"``, … of each path; by default what its ending says.
    """
    figure = axes[0].figure
    for path, kind in zip(paths, formats or (str(path).rpartition(".")[2] for path in paths), strict=True):
        metadata = {"Date": None} if kind == "svg" else None  # the same picture, the same file
        with plt.rc_context({"svg.hashsalt": "prerec"}):
            figure.savefig(path, format=kind, dpi=160, bbox_inches="tight", metadata=metadata)
    plt.close(figure)

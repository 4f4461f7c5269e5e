"""Pictures of a posterior: tables and arrays in, matplotlib axes out; saved by `plots.save`."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

_STRONG, _QUIET, _OTHER = "#0072b2", "#9aa5b1", "#d55e00"
_CHAINS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def plot_intervals(panels: dict[str, pd.DataFrame]) -> list[Axes]:
    """Return axes of intervals, a panel each side by side: a dot and a line a row, the prior's interval behind it.

    Parameters
    ----------
    panels
        Title → rows to draw from top to bottom: ``mean``, ``low``, ``high``, ``prior_low``, ``prior_high``, named by
        the index.
    """
    rows = max(len(table) for table in panels.values())
    size = (4.4 * len(panels), 0.26 * rows + 1.5)
    figure, grid = plt.subplots(1, len(panels), figsize=size, squeeze=False)
    for axis, (title, table) in zip(grid[0], panels.items(), strict=True):
        place = np.arange(len(table))
        axis.hlines(place, table["prior_low"], table["prior_high"], color=_QUIET, alpha=0.35, linewidth=7)
        axis.hlines(place, table["low"], table["high"], color=_STRONG, linewidth=2)
        axis.plot(table["mean"], place, "o", color=_STRONG, markersize=4.5)
        axis.axvline(0, color="black", linewidth=0.7, linestyle=":")
        axis.set_yticks(place, list(table.index))
        axis.set_ylim(len(table) - 0.4, -0.6)
        axis.set_title(title, fontsize=11)
        axis.tick_params(axis="x", labelsize=9)
        axis.locator_params(axis="x", nbins=6)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [plt.Line2D([], [], color=_STRONG, marker="o", markersize=4.5, linewidth=2)]
    handles.append(plt.Line2D([], [], color=_QUIET, alpha=0.35, linewidth=7))
    figure.tight_layout(rect=(0, 0.28 / size[1], 1, 1))
    figure.legend(handles, ["posterior, 90 %", "prior, 90 %"], loc="lower center", ncols=2, frameon=False)
    return list(grid[0])


def plot_traces(values: np.ndarray, names: list[str]) -> list[Axes]:
    """Return axes, one a number: its draws in order, a line a chain.

    Parameters
    ----------
    values
        ``(num_chains, num_draws, num_numbers)``.
    names
        Of the numbers.
    """
    figure, grid = plt.subplots(len(names), 1, figsize=(7.5, 1.3 * len(names) + 0.6), sharex=True, squeeze=False)
    for number, (axis, name) in enumerate(zip(grid[:, 0], names, strict=True)):
        for chain, draws in enumerate(values[..., number]):
            axis.plot(draws, color=_CHAINS[chain % len(_CHAINS)], linewidth=0.6, alpha=0.8)
        axis.set_ylabel(name, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    grid[-1, 0].set_xlabel("draw; a colour a chain")
    figure.align_ylabels()
    figure.tight_layout()
    return list(grid[:, 0])


def plot_calibration(claimed: np.ndarray, found: np.ndarray, num_users: int) -> list[Axes]:
    """Return the axes of the calibration curve, with the band in which 95 % of calibrated models lie.

    Parameters
    ----------
    claimed, found
        ``(num_points,)``: sets of items that hold this much probability held the choice so often.
    num_users
        Independent people that the curve rests on.
    """
    _, axis = plt.subplots(figsize=(4.6, 4.4))
    band = 1.36 / max(num_users, 1) ** 0.5  # Kolmogorov
    axis.fill_between(claimed, np.clip(claimed - band, 0, 1), np.clip(claimed + band, 0, 1), color=_QUIET, alpha=0.3)
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    axis.plot(claimed, found, color=_STRONG, linewidth=2)
    axis.set_xlabel("probability of the most likely items, claimed")
    axis.set_ylabel("share of choices among them, found")
    axis.text(0.03, 0.95, "above: could be surer", fontsize=8.5, color="#555555", va="top")
    axis.text(0.97, 0.05, "below: too sure", fontsize=8.5, color="#555555", ha="right")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_aspect("equal")
    axis.spines[["top", "right"]].set_visible(False)
    axis.figure.tight_layout()
    return [axis]


def plot_popularity_check(counts: dict[str, np.ndarray]) -> list[Axes]:
    """Return the axes of three distributions of popularity: the share of items that had at most so many interactions.

    Parameters
    ----------
    counts
        Name → interactions before the choice, any shape; the first is what was observed, and drawn in black.
    """
    _, axis = plt.subplots(figsize=(5.6, 3.8))
    for number, (name, values) in enumerate(counts.items()):
        size = np.sort(np.asarray(values, dtype=float).reshape(-1))
        share = np.arange(1, len(size) + 1) / len(size)
        colour, width = (("black", 1.6), (_STRONG, 2.0), (_OTHER, 1.6))[min(number, 2)]
        axis.step(size, share, where="post", color=colour, linewidth=width, label=name)
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlim(left=0)
    axis.set_ylim(0, 1)
    axis.set_xlabel("popularity: interactions in the window before the choice")
    axis.set_ylabel("share with at most so many")
    axis.legend(frameon=False, loc="lower right" if np.median(next(iter(counts.values()))) < 30 else "upper left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.figure.tight_layout()
    return [axis]

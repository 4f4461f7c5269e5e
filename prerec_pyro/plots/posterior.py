"""Pictures of a posterior and of its predictive checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from prerec_pyro.plots.figures import CONTRAST, QUIET, SERIES, STRONG, hide_frame

_CHAINS = SERIES[:6]
_KOLMOGOROV = 1.36  # 95 % quantile of the Kolmogorov distribution


def plot_intervals(panels: Mapping[str, pd.DataFrame]) -> list[Axes]:
    """Return one axis per panel: a dot and a line per row, in front of the interval of the prior.

    Parameters
    ----------
    panels
        Title → rows from top to bottom: ``mean``, ``low``, ``high``, ``prior_low``, ``prior_high``; the index names
        the rows.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"mean": 0.2, "low": -0.1, "high": 0.5, "prior_low": -1.6, "prior_high": 1.6}
    >>> (axis,) = plot_intervals({"S": pd.DataFrame([row], index=["match"])})
    >>> axis.get_title(), [label.get_text() for label in axis.get_yticklabels()]
    ('S', ['match'])
    """
    rows = max(len(table) for table in panels.values())
    size = (4.4 * len(panels), 0.26 * rows + 1.5)
    figure, grid = plt.subplots(1, len(panels), figsize=size, squeeze=False)
    for axis, (title, table) in zip(grid[0], panels.items(), strict=True):
        place = np.arange(len(table))
        axis.hlines(place, table["prior_low"], table["prior_high"], color=QUIET, alpha=0.35, linewidth=7)
        axis.hlines(place, table["low"], table["high"], color=STRONG, linewidth=2)
        axis.plot(table["mean"], place, "o", color=STRONG, markersize=4.5)
        axis.axvline(0, color="black", linewidth=0.7, linestyle=":")
        axis.set_yticks(place, list(table.index))
        axis.set_ylim(len(table) - 0.4, -0.6)
        axis.set_title(title, fontsize=11)
        axis.tick_params(axis="x", labelsize=9)
        axis.locator_params(axis="x", nbins=6)
        hide_frame(axis)
    handles = [Line2D([], [], color=STRONG, marker="o", markersize=4.5, linewidth=2)]
    handles.append(Line2D([], [], color=QUIET, alpha=0.35, linewidth=7))
    figure.tight_layout(rect=(0, 0.28 / size[1], 1, 1))
    figure.legend(handles, ["posterior, 90 %", "prior, 90 %"], loc="lower center", ncols=2, frameon=False)
    return list(grid[0])


def plot_traces(values: np.ndarray, names: Sequence[str]) -> list[Axes]:
    """Return one axis per coordinate: its draws in order, one line per chain.

    Parameters
    ----------
    values
        ``(num_chains, num_draws, num_coordinates)``.
    names
        Names of the coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> (axis,) = plot_traces(np.random.default_rng(0).normal(size=(2, 50, 1)), ["S match"])
    >>> len(axis.get_lines())
    2
    """
    figure, grid = plt.subplots(len(names), 1, figsize=(7.5, 1.3 * len(names) + 0.6), sharex=True, squeeze=False)
    for number, (axis, name) in enumerate(zip(grid[:, 0], names, strict=True)):
        for chain, draws in enumerate(values[..., number]):
            axis.plot(draws, color=_CHAINS[chain % len(_CHAINS)], linewidth=0.6, alpha=0.8)
        axis.set_ylabel(name, fontsize=9)
        hide_frame(axis)
    grid[-1, 0].set_xlabel("draw (one colour per chain)")
    figure.align_ylabels()
    figure.tight_layout()
    return list(grid[:, 0])


def plot_calibration(claimed: np.ndarray, found: np.ndarray, num_users: int) -> list[Axes]:
    """Return the axis of the calibration curve, with the band that holds 95 % of calibrated models.

    Parameters
    ----------
    claimed
        ``(num_points,)`` probability that the model gives to a set of items.
    found
        ``(num_points,)`` share of the queries with their choice in that set.
    num_users
        Number of independent users behind the curve.

    Examples
    --------
    >>> import numpy as np
    >>> claimed = np.linspace(0, 1, 11)
    >>> (axis,) = plot_calibration(claimed, claimed**2, num_users=100)
    >>> axis.get_xlim() == axis.get_ylim() == (0, 1)
    True
    """
    figure, axis = plt.subplots(figsize=(4.6, 4.4))
    band = _KOLMOGOROV / max(num_users, 1) ** 0.5
    axis.fill_between(claimed, np.clip(claimed - band, 0, 1), np.clip(claimed + band, 0, 1), color=QUIET, alpha=0.3)
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    axis.plot(claimed, found, color=STRONG, linewidth=2)
    axis.set_xlabel("claimed probability of the most likely items")
    axis.set_ylabel("share of the choices among them")
    axis.text(0.03, 0.95, "above: underconfident", fontsize=8.5, color="#555555", va="top")
    axis.text(0.97, 0.05, "below: overconfident", fontsize=8.5, color="#555555", ha="right")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_aspect("equal")
    hide_frame(axis)
    figure.tight_layout()
    return [axis]


def plot_popularity_check(counts: Mapping[str, np.ndarray]) -> list[Axes]:
    """Return the axis of up to three cumulative distributions of popularity.

    Parameters
    ----------
    counts
        Name → interactions of items in the window before the choice, any shape. The first one is observed, and black.

    Examples
    --------
    >>> import numpy as np
    >>> (axis,) = plot_popularity_check({"chosen": np.array([1, 2, 40]), "drawn": np.array([0, 2, 5])})
    >>> [text.get_text() for text in axis.get_legend().get_texts()]
    ['chosen', 'drawn']
    """
    figure, axis = plt.subplots(figsize=(5.6, 3.8))
    for number, (name, values) in enumerate(counts.items()):
        popularity = np.sort(np.asarray(values, dtype=float).reshape(-1))
        share = np.arange(1, len(popularity) + 1) / len(popularity)
        colour, width = (("black", 1.6), (STRONG, 2.0), (CONTRAST, 1.6))[min(number, 2)]
        axis.step(popularity, share, where="post", color=colour, linewidth=width, label=name)
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlim(left=0)
    axis.set_ylim(0, 1)
    axis.set_xlabel("popularity: interactions in the window before the choice")
    axis.set_ylabel("share with at most this many")
    axis.legend(frameon=False, loc="lower right" if np.median(next(iter(counts.values()))) < 30 else "upper left")
    hide_frame(axis)
    figure.tight_layout()
    return [axis]

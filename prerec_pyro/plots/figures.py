"""Colours, frames and files that all pictures share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colour-blind safe (Okabe and Ito).
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STRONG, CONTRAST = SERIES[:2]
QUIET = "#9aa5b1"


def figure_of(axes: Sequence[Axes]) -> Figure:
    """Return the figure of some axes, also where they belong to a subfigure of it."""
    figure = axes[0].figure
    while not isinstance(figure, Figure):
        figure = figure.figure
    return figure


def hide_frame(*axes: Axes) -> None:
    """Hide the top and right edge of some axes."""
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)


def legend_beside(figure: Figure, axes: Sequence[Axes], *, handle_length: float | None = None) -> None:
    """Put one legend for all lines of some axes to the right of a figure; each label appears once.

    Parameters
    ----------
    figure, axes
        A figure and axes of it.
    handle_length
        Length of the line samples in font sizes; None is matplotlib's own.
    """
    labelled = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            labelled[label] = handle
    figure.legend(
        list(labelled.values()),
        list(labelled),
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        handlelength=handle_length,
    )


def save(axes: Sequence[Axes], *paths: str | Path, formats: Sequence[str] = ()) -> None:
    """Write the figure of some axes to files, at print resolution, and close it.

    Parameters
    ----------
    axes
        Axes of one figure.
    paths
        Files to write.
    formats
        Format of each path, such as ``"png"`` or ``"svg"``; by default its suffix.

    Examples
    --------
    >>> import tempfile
    >>> import matplotlib.pyplot as plt
    >>> _, axis = plt.subplots()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save([axis], Path(folder) / "picture.png")
    ...     [path.name for path in Path(folder).iterdir()]
    ['picture.png']
    """
    figure = figure_of(axes)
    for path, kind in zip(paths, formats or [str(path).rpartition(".")[2] for path in paths], strict=True):
        metadata = {"Date": None} if kind == "svg" else None  # the same picture gives the same file
        with plt.rc_context({"svg.hashsalt": "prerec"}):
            figure.savefig(path, format=kind, dpi=160, bbox_inches="tight", metadata=metadata)
    plt.close(figure)

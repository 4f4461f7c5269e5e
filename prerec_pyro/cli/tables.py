"""Data frames as aligned plain text."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_MISSING = ("None", "nan", "NaT", "<NA>")


def table_text(frame: pd.DataFrame, *, index: bool = True) -> str:
    """Return `frame` as lines of aligned text: numbers to the right, text to the left, ``-`` for missing values.

    Integers get thousands separators. The fractions of a column get the same number of decimals, or four significant
    digits where their sizes differ a lot.

    Parameters
    ----------
    frame
        Table; each row becomes one line.
    index
        Whether the index becomes the first column.
    """
    named = [(str(name), frame.iloc[:, i].tolist()) for i, name in enumerate(frame.columns)]
    if index:
        named.insert(0, ("" if frame.index.name is None else str(frame.index.name), frame.index.tolist()))
    columns = []
    for i, (head, values) in enumerate(named):
        numbers = [value for value in values if _is_number(value)]
        decimals = _decimals(numbers)
        cells = [head, *(cell_text(value, decimals) for value in values)]
        width = max(map(_width, cells))
        right = bool(numbers) and not (index and i == 0)
        columns.append([_padded(cell, width, right) for cell in cells])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def cell_text(value: Any, decimals: int | None = None) -> str:
    """Return one value as text, without line breaks; ``-`` for a missing value.

    Parameters
    ----------
    value
        A Python, NumPy or PyTorch value.
    decimals
        Number of decimals of a fraction; None gives four significant digits.
    """
    if hasattr(value, "item"):  # a scalar of NumPy or PyTorch
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and value == value:
        if decimals is not None:
            return f"{value:.{decimals}f}"
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, str):
        return " ".join(value.split())
    text = str(value)
    return "-" if text in _MISSING else text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _decimals(numbers: list[float]) -> int | None:
    """Return 4 if all numbers are fractions that four decimals show well, else None."""
    sizes = [abs(number) for number in numbers if number]
    if not all(isinstance(number, float) for number in numbers) or not sizes:
        return None
    return 4 if min(sizes) >= 0.001 and max(sizes) < 1000 else None


def _width(text: str) -> int:
    """Return the terminal columns that `text` takes: 2 for wide East Asian characters, 0 for combining marks."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _padded(cell: str, width: int, right: bool) -> str:
    blank = " " * (width - _width(cell))
    return blank + cell if right else cell + blank

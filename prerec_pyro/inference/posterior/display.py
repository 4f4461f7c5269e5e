"""A titled table of names and values, as text for a console and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Rows = Sequence[tuple[str, str]]


def as_text(title: str, rows: Rows) -> str:
    """Return the title and one indented line for each row, the values aligned.

    Examples
    --------
    >>> print(as_text("Posterior of 'shop'", [("method", "nuts"), ("draws", "2 chains × 40 draws")]))
    Posterior of 'shop'
      method  nuts
      draws   2 chains × 40 draws
    """
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows)])


def as_html(title: str, rows: Rows) -> str:
    """Return an HTML table with the title for its caption; all text is escaped.

    Examples
    --------
    >>> as_html("a < b", [("method", "nuts")])
    '<table><caption>a &lt; b</caption><tr><th>method</th><td>nuts</td></tr></table>'
    """
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table><caption>{escape(title)}</caption>{body}</table>"

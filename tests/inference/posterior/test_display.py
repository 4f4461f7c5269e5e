"""Titled tables as text and as HTML."""

from __future__ import annotations

from prerec_pyro.inference.posterior.display import as_html, as_text

ROWS = [("a", "1 < 2"), ("longer", "& more")]


def test_text_has_a_line_for_each_row_with_aligned_values() -> None:
    assert as_text("title", ROWS).splitlines() == ["title", "  a       1 < 2", "  longer  & more"]
    assert as_text("title", []) == "title"


def test_html_is_escaped() -> None:
    table = as_html("<b>", ROWS)
    assert "<caption>&lt;b&gt;</caption>" in table
    assert "<tr><th>a</th><td>1 &lt; 2</td></tr><tr><th>longer</th><td>&amp; more</td></tr>" in table

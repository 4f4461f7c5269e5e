"""Short descriptions of a domain: the text that ``print`` shows and the table that a notebook shows."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np

from prerec_pyro.data.protocols import DomainTables
from prerec_pyro.data.times import SECONDS_PER_DAY

_NOTE_LENGTH = 60
_NUM_NAMES = 6


def summary_rows(domain: DomainTables) -> dict[str, str]:
    """Return label → value: size, period, share of empty texts, embeddings, covariates and notes of a domain."""
    rows = {
        "items": f"{domain.num_items:,}",
        "users": f"{domain.num_users:,}",
        "interactions": f"{domain.num_interactions:,}",
        "period": _period(domain.timestamps) if domain.num_interactions else "no interactions",
        "empty texts": _empty_texts(domain),
        "embeddings": "none" if domain.embeddings is None else sizes(domain.embeddings.shape),
    }
    if domain.item_covariates:
        names = list(domain.item_covariates)
        rows["covariates"] = ", ".join(names[:_NUM_NAMES]) + (", …" if len(names) > _NUM_NAMES else "")
    return rows | {"notes": _notes(domain)}


def as_text(title: str, rows: Mapping[str, str]) -> str:
    """Return a title line and one line for each row, with the values in one column."""
    width = max(map(len, rows)) + 1
    return "\n".join([title, *(f"  {label + ':':<{width}} {value}" for label, value in rows.items())])


def as_html(title: str, rows: Mapping[str, str]) -> str:
    """Return the same as an HTML table, with every text escaped."""
    body = "".join(
        f'<tr><th style="text-align: left">{html.escape(label)}</th>'
        f'<td style="text-align: left">{html.escape(value)}</td></tr>'
        for label, value in rows.items()
    )
    return f"<table><caption>{html.escape(title)}</caption><tbody>{body}</tbody></table>"


def _period(timestamps: np.ndarray | None) -> str:
    if timestamps is None:
        return "order only"
    first, last = (np.datetime64(int(time) // SECONDS_PER_DAY, "D") for time in (timestamps.min(), timestamps.max()))
    return f"{first} to {last}"


def _empty_texts(domain: DomainTables) -> str:
    empty = sum(not text.strip() for text in domain.item_texts)
    return f"{empty:,} ({empty / max(domain.num_items, 1):.1%})"


def sizes(shape: tuple[int, ...]) -> str:
    """Return ``"4,223 × 384"`` for a shape ``(4223, 384)``."""
    return " × ".join(f"{size:,}" for size in shape)


def _notes(domain: DomainTables) -> str:
    notes = [" ".join(str(note).split()) for note in domain.provenance.get("notes", [])]
    if not notes:
        return "none"
    first = notes[0] if len(notes[0]) <= _NOTE_LENGTH else notes[0][: _NOTE_LENGTH - 1] + "…"
    return f"{len(notes)}, in provenance['notes']: {first}"

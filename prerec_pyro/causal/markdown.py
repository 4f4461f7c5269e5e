"""Answers to causal questions as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prerec_pyro.causal.estimates import METRICS
from prerec_pyro.causal.exposure import Estimate

NAMES = {
    "recall": "Recall@K%",
    "r_ndcg": "r-NDCG@K%",
    "ndcg@10": "NDCG@10",
    "mrr": "MRR",
    "mean_popularity": "mean popularity",
    "coverage": "coverage",
    "gini_exposure": "Gini",
}
_DIGITS = {"mean_popularity": 2}


def dial(stops: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    """Return the stops as a table, a line a stop, and what it rests on."""
    lines = []
    for row in stops.to_dict("records"):
        head = {0.0: "0 (none)", 1.0: "1 (observed)", 2.0: "2 (doubled)"}.get(row["value"], f"{row['value']:g}")
        cells = [Estimate(*(row[f"{name}{end}"] for end in ("", "_low", "_high"))) for name in METRICS]
        lines.append([head, *(cell(one, name) for one, name in zip(cells, METRICS, strict=True))])
    body = table(["Z times", *(NAMES[name] for name in METRICS)], lines)
    return f"# Popularity dial: {facts['domain']}\n\n{about(facts)}\n\n{body}\n"


def about(facts: Mapping[str, Any]) -> str:
    """Return what the numbers rest on, a paragraph."""
    whose = "of the users given" if facts["split"] is None else f"of the {facts['split']} users"
    return (
        f"Model {facts['model']}, {facts['num_queries']:,} queries {whose} ({facts['num_users']:,}), "
        f"{facts['num_items']:,} items, K% = {facts['k_percent']:g}, lists of {facts['list_size']}; ± is half of the "
        f"95 % interval over users; semantics: {facts['semantics']}."
    )


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first to the right."""
    rule = ["---", *(["---:"] * (len(heads) - 1))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def cell(one: Estimate, metric: str, *, signed: bool = False) -> str:
    """Return a number with half of its interval."""
    digits = _DIGITS.get(metric, 4)
    text = f"{one.value:{'+' if signed else ''}.{digits}f}"
    return text if np.isnan(one.low) else f"{text} ± {(one.high - one.low) / 2:.{digits}f}"

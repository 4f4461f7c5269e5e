"""Causal reports as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prerec_pyro.causal.measurement.affected_users import user_summary
from prerec_pyro.causal.measurement.estimates import METRICS, Estimates
from prerec_pyro.causal.measurement.exposure import Estimate

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
    """Return the table of a `Dial`, one line per stop, with the settings behind it."""
    lines = []
    for row in stops.to_dict("records"):
        head = {0.0: "0 (none)", 1.0: "1 (observed)", 2.0: "2 (doubled)"}.get(row["value"], f"{row['value']:g}")
        cells = [Estimate(*(row[f"{name}{end}"] for end in ("", "_low", "_high"))) for name in METRICS]
        lines.append([head, *(cell(one, name) for one, name in zip(cells, METRICS, strict=True))])
    body = table(["Z times", *(NAMES[name] for name in METRICS)], lines)
    return f"# Popularity dial: {facts['domain']}\n\n{about(facts)}\n\n{body}\n"


def effect(
    facts: Mapping[str, Any],
    arms: Mapping[str, Estimates],
    by_popularity: pd.DataFrame,
    users: pd.DataFrame,
    most_affected: int,
) -> str:
    """Return an effect report: accuracy and exposure, exposure by popularity, single users.

    Parameters
    ----------
    facts, arms, by_popularity, users
        The attributes of an `Effect`.
    most_affected
        Number of users to list for each arm.
    """
    reference = next(iter(arms))
    level = [[name, *(cell(one.level[m], m) for m in METRICS)] for name, one in arms.items()]
    heads = ["", *(NAMES[name] for name in METRICS)]
    change = [
        [name, *(cell(one.change[m], m, signed=True) for m in METRICS)]
        for name, one in arms.items()
        if name != reference
    ]
    parts = [f"# Effects of the confounders: {facts['domain']}", about(facts), table(heads, level)]
    parts += [f"Difference from {reference}, query by query:", table(heads, change)]
    parts += ["## By popularity", _BY_POPULARITY, _shares(by_popularity)]
    parts += ["## Single users", _USERS, _user_table(users)]
    for name in list(arms)[1:]:
        affected = users[users["arm"] == name].head(most_affected)
        lines = [
            [
                f"{one.user_id}",
                f"{one.num_queries:,}",
                f"{one.overlap:.2f}",
                f"{one.moved:.2f}",
                f"{one.r_ndcg_change:+.4f}",
            ]
            for one in affected.itertuples()
        ]
        parts += [f"Most affected by {name}:", table(["user", "queries", "overlap", "moved by", "r-NDCG"], lines)]
    return "\n\n".join(parts) + "\n"


_BY_POPULARITY = (
    "Share of the shown places that goes to each tenth of the catalogue, by interactions in the whole log. In "
    "brackets: the recall of the queries with a target in this tenth."
)
_USERS = (
    "Overlap: the share of a user's lists that stays. Moved by: the factor by which the rank of the target changes, up "
    "or down. Better and worse: the share of the users with a higher or lower r-NDCG."
)


def _shares(groups: pd.DataFrame) -> str:
    share = groups.pivot(index="group", columns="arm", values="share")
    recall = groups.pivot(index="group", columns="arm", values="recall")
    names = list(groups["arm"].unique())
    labels = {1: "1 (least popular)", len(share): f"{len(share)} (most popular)"}
    lines = []
    for number in share.index:
        cells = [f"{share.loc[number, name]:.4f} ({_recall_cell(recall.loc[number, name])})" for name in names]
        lines.append([labels.get(number, f"{number}"), *cells])
    return table(["tenth", *names], lines)


def _recall_cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _user_table(users: pd.DataFrame) -> str:
    heads = ["", "mean overlap", "tenth percentile", "list unchanged", "half of it changed", "better", "worse"]
    lines = []
    for name, rows in users.groupby("arm", sort=False):
        found = user_summary(rows)
        shares = [
            f"{found[key]:.1%}" for key in ("share_unchanged", "share_half_changed", "share_better", "share_worse")
        ]
        lines.append([name, f"{found['mean_overlap']:.3f}", f"{found['lowest_tenth_overlap']:.3f}", *shares])
    return table(heads, lines)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as plain JSON; NaN becomes None."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


def scope(facts: Mapping[str, Any]) -> str:
    """Return model, domain and number of queries, the head of a short summary."""
    return f"{facts['model']} on {facts['domain']}: {facts['num_queries']:,} queries of {facts['num_users']:,} users"


def about(facts: Mapping[str, Any]) -> str:
    """Return the settings behind the numbers, a paragraph."""
    users = "of the given users" if facts["split"] is None else f"of the {facts['split']} users"
    return (
        f"Model {facts['model']}, {facts['num_queries']:,} queries {users} ({facts['num_users']:,}), "
        f"{facts['num_items']:,} items, K% = {facts['k_percent']:g}, lists of {facts['list_size']}; ± is half of the "
        f"95 % interval over users; semantics: {facts['semantics']}."
    )


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns except the first are aligned to the right."""
    rule = ["---", *(["---:"] * (len(heads) - 1))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def cell(one: Estimate, metric: str, *, signed: bool = False) -> str:
    """Return a number with the half width of its interval."""
    digits = _DIGITS.get(metric, 4)
    text = f"{one.value:{'+' if signed else ''}.{digits}f}"
    return text if np.isnan(one.low) else f"{text} ± {(one.high - one.low) / 2:.{digits}f}"

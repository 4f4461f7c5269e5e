"""Popularity dial: recommendations with the effect of popularity turned down, off or up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prerec_pyro.causal import markdown
from prerec_pyro.causal.measurement.estimates import METRICS, Estimates
from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.causal.protocol import CausalModel, require_nodes
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.intervention import Semantics, Value

VALUES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
OBSERVED = 1.0


@dataclass(frozen=True, eq=False)
class Dial:
    """Result of `popularity_dial`.

    Attributes
    ----------
    table
        One row per stop: ``value``; for each metric its mean, with ``<metric>_low`` and ``<metric>_high``, the ends of
        its 95 % interval over users; ``<metric>_change``, its paired difference from the stop at 1, with
        ``<metric>_change_low`` and ``<metric>_change_high``. Metrics: ``recall`` and ``r_ndcg`` at K%, ``ndcg@10``,
        ``mrr``; ``mean_popularity`` of the shown items, in interactions in the window before the query's day;
        ``coverage``, the share of the catalogue that is shown at all; ``gini_exposure``, 0 where all items are shown
        equally often.
    facts
        Model, domain, split, number of queries and users, K%, length of the lists and semantics, plain JSON.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"value": 1.0, "recall": 0.3, "r_ndcg": 0.2, "mean_popularity": 5.0, "coverage": 0.5}
    >>> Dial(pd.DataFrame([row]), {"model": "prerec", "domain": "shop", "num_queries": 60, "num_users": 12})
    Dial of prerec on shop: 60 queries of 12 users
      Z x 1: recall 0.3000, r_ndcg 0.2000, mean_popularity 5.0000, coverage 0.5000
    """

    table: pd.DataFrame
    facts: dict[str, Any]

    def __repr__(self) -> str:
        values = self.table["value"]
        shown = self.table[values.isin((values.min(), OBSERVED, values.max()))]
        lines = [f"Dial of {markdown.scope(self.facts)}"]
        for row in shown.to_dict("records"):
            cells = [f"{name} {row[name]:.4f}" for name in ("recall", "r_ndcg", "mean_popularity", "coverage")]
            lines.append(f"  Z x {row['value']:g}: {', '.join(cells)}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return ``facts`` and ``stops``, plain JSON."""
        stops = [
            {name: None if pd.isna(value) else float(value) for name, value in row.items()}
            for row in self.table.to_dict("records")
        ]
        return {"facts": self.facts, "stops": stops}

    def to_markdown(self) -> str:
        """Return the table as Markdown, with the half width of each interval beside its number."""
        return markdown.dial(self.table, self.facts)


def popularity_dial(
    model: CausalModel,
    domain: Domain | EncodedDomain,
    values: Iterable[float] = VALUES,
    *,
    do: Mapping[str, Value] | None = None,
    semantics: Semantics = "counterfactual",
    measurement: Measurement | None = None,
) -> Dial:
    """Return accuracy and exposure under do(Z = value · Z) for each value: 0 no popularity, 1 observed, 2 doubled.

    The dial multiplies Z, and with it Z·W_z, the popularity term of a score, in every mixture component. At 0 the
    background component is uniform over the items outside the history. With the edge Z → V the items follow Z.

    The default semantics are counterfactual: the items keep their inferred offsets, so that the stop at 1 is the plain
    recommendation, bit for bit. Zero-shot, and without the edge Z → V, both semantics agree.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    domain
        Domain to measure on.
    values
        Stops. 1, the reference of all changes, is added if missing.
    do
        Intervention on other nodes, at all stops.
    semantics
        ``"interventional"`` drops the offsets of items that follow Z.
    measurement
        Queries and settings; None takes the test users.

    Raises
    ------
    InputError
        If the model has no Z, a value is not a finite number, or there is no query.

    Examples
    --------
    >>> from prerec_pyro import PreRec, TrainConfig, simulate
    >>> from prerec_pyro.causal import Measurement
    >>> shops = simulate(2, num_items=30, num_users=40, num_days=20)
    >>> source, shop = (one.domain.with_embeddings(one.truth.item_mean) for one in shops)
    >>> model = PreRec(training=TrainConfig(epochs=1), device="cpu").fit([source])
    >>> dial = popularity_dial(model, shop, [0, 2], measurement=Measurement(k_percent=10, draws=50))
    >>> dial.table["value"].tolist()
    [0.0, 1.0, 2.0]
    """
    graph = require_nodes(model, "Z", "the popularity dial")
    stops = _checked(values)
    if "Z" in (do or {}):
        raise InputError("the popularity dial sets Z itself; take Z out of do")
    encoded, measurement = model.encoded(domain), measurement or Measurement()
    if semantics == "interventional" and "Z" in graph.edges["V"]:
        do = {"Z": "observed", **(do or {})}  # drops the items' offsets and leaves Z as it is
    scorer = model.scorer(encoded, do, semantics)
    queries, found = measurement.rank(lambda batch: scorer.dial(batch, stops), len(stops), encoded)
    reference = stops.index(OBSERVED)
    order = [reference, *(place for place in range(len(stops)) if place != reference)]
    estimates = measurement.estimates(encoded, queries, [[found[place]] for place in order])
    rows = [_row(stops[place], one) for place, one in zip(order, estimates, strict=True)]
    facts = {"model": model.name, **measurement.facts(encoded, queries), "semantics": semantics}
    return Dial(pd.DataFrame(rows).sort_values("value", ignore_index=True), facts)


def _row(value: float, found: Estimates) -> dict[str, float]:
    """Return the row of one stop."""
    row = {"value": value}
    for name in METRICS:
        for suffix, one in (("", found.level[name]), ("_change", found.change[name])):
            row |= {f"{name}{suffix}": one.value, f"{name}{suffix}_low": one.low, f"{name}{suffix}_high": one.high}
    return row


def _checked(values: Iterable[float]) -> list[float]:
    """Return the stops in order, with the observed one."""
    try:
        stops = sorted({float(value) for value in values} | {OBSERVED})
    except (TypeError, ValueError):
        raise InputError("the popularity dial: values must be numbers, such as 0, 0.5, 1, 1.5, 2") from None
    if not np.isfinite(stops).all():
        raise InputError("the popularity dial: values must be finite numbers, such as 0, 0.5, 1, 1.5, 2")
    return stops

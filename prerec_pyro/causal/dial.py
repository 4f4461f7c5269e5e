"""The popularity dial: what recommendations become as the effect of popularity is turned down, off or up."""

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
    """What `popularity_dial` found.

    Attributes
    ----------
    table
        A row a stop: ``value``; for each metric its mean, and ``<metric>_low`` and ``<metric>_high``, the ends of its
        95 % interval over users; ``<metric>_change``, ``…_change_low`` and ``…_change_high``, the same of its paired
        difference to the stop at 1. Metrics: ``recall`` and ``r_ndcg`` at K%, ``ndcg@10``, ``mrr``;
        ``mean_popularity`` of the items shown, in interactions in the window before the query's day; ``coverage``, the
        share of the catalogue that is shown to anybody; ``gini_exposure``, 0 where all items are shown equally often.
    facts
        Plain JSON: model, domain, split, number of queries and users, K%, length of the lists, semantics.
    """

    table: pd.DataFrame
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return ``facts`` and ``stops``, plain JSON."""
        stops = [
            {name: None if pd.isna(value) else float(value) for name, value in row.items()}
            for row in self.table.to_dict("records")
        ]
        return {"facts": self.facts, "stops": stops}

    def to_markdown(self) -> str:
        """Return the table in Markdown, half-widths of intervals beside the numbers."""
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
    """Return accuracy and exposure under do(Z = value · Z), for each value: 0 no popularity, 1 observed, 2 doubled.

    The dial multiplies Z itself, so Z·W_z, what popularity adds to a score, is multiplied by as much, in both terms of
    the mixture: at 0, choices that do not follow the history are uniform but for repeats. With the edge Z → V the
    items follow Z. The question is counterfactual, of the same items: they keep the offsets inferred for them, without
    which the stop at 1 would not be the plain recommendation. It is so to the last bit. Zero-shot, and without the
    edge, both semantics agree.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    domain
        Where.
    values
        Stops; 1, the reference of all changes, is added where it is missing.
    do
        Set other nodes too, at all stops.
    semantics
        ``"interventional"`` drops the offsets of items that follow Z.
    measurement
        On whose queries; None is the test users.

    Raises
    ------
    InputError
        If the model has no Z, a value is no finite number, or there is no query.
    """
    graph = require_nodes(model, "Z", "the popularity dial")
    stops = _checked(values)
    if "Z" in (do or {}):
        raise InputError("the popularity dial sets Z itself; take Z out of do")
    encoded, measurement = model.encoded(domain), measurement or Measurement()
    if semantics == "interventional" and "Z" in graph.edges["V"]:
        do = {"Z": "observed", **(do or {})}  # the items' noise is dropped, Z is as it was
    scorer = model.scorer(encoded, do, semantics)
    queries, found = measurement.lists(lambda batch: scorer.dial(batch, stops), len(stops), encoded)
    reference = stops.index(OBSERVED)
    order = [reference, *(place for place in range(len(stops)) if place != reference)]
    estimates = measurement.estimates(encoded, queries, [[found[place]] for place in order])
    rows = [_row(stops[place], one) for place, one in zip(order, estimates, strict=True)]
    facts = {"model": model.name, **measurement.facts(encoded, queries), "semantics": semantics}
    return Dial(pd.DataFrame(rows).sort_values("value", ignore_index=True), facts)


def _row(value: float, found: Estimates) -> dict[str, float]:
    row = {"value": value}
    for name in METRICS:
        for suffix, one in (("", found.level[name]), ("_change", found.change[name])):
            row |= {f"{name}{suffix}": one.value, f"{name}{suffix}_low": one.low, f"{name}{suffix}_high": one.high}
    return row


def _checked(values: Iterable[float]) -> list[float]:
    try:
        stops = sorted({float(value) for value in values} | {OBSERVED})
    except (TypeError, ValueError):
        raise InputError("the popularity dial: values must be numbers, such as 0, 0.5, 1, 1.5, 2") from None
    if not np.isfinite(stops).all():
        raise InputError("the popularity dial: values must be finite numbers, such as 0, 0.5, 1, 1.5, 2")
    return stops

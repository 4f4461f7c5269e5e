"""Effect report: factual recommendations compared with do(D), do(Z) and both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prerec_pyro.causal import markdown
from prerec_pyro.causal.arms import FACTUAL, Arm, default_arms
from prerec_pyro.causal.measurement.affected_users import affected_users, user_summary
from prerec_pyro.causal.measurement.alternatives import RankedLists
from prerec_pyro.causal.measurement.estimates import Estimates
from prerec_pyro.causal.measurement.measurement import Measurement, item_tenths
from prerec_pyro.causal.protocol import CausalModel, require_nodes
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.intervention import Semantics

_ARMS_SHOWN = 8  # lines of a repr


@dataclass(frozen=True, eq=False)
class Effect:
    """Result of `effect_report`.

    Attributes
    ----------
    estimates
        Arm → accuracy and exposure, and their change from the factual arm, with 95 % intervals over users.
    by_popularity
        One row per arm and tenth of the catalogue (1: the least popular): ``arm``, ``group``; ``share`` of the shown
        places, with ``share_low`` and ``share_high``; ``share_change`` with its interval; ``recall`` of the queries
        with a target in the tenth, and their number ``num_queries``.
    users
        One row per arm and user, the most affected first: ``arm``, ``user_id``, ``num_queries``; ``overlap``, the share
        of the list that stays; ``moved``, the mean factor by which the rank of the target changes, up or down (1: no
        change); ``r_ndcg`` and ``r_ndcg_change``.
    facts
        Model, domain, queries and settings, plain JSON.

    Examples
    --------
    >>> import pandas as pd
    >>> from prerec_pyro.causal.measurement.estimates import METRICS, Estimates
    >>> from prerec_pyro.causal.measurement.exposure import Estimate
    >>> same, less = (dict.fromkeys(METRICS, Estimate(x, x - 0.01, x + 0.01)) for x in (0.0, -0.1))
    >>> estimates = {"factual": Estimates(same, same, (), ()), "do(Z = 0)": Estimates(less, less, (), ())}
    >>> facts = {"model": "prerec", "domain": "shop", "num_queries": 60, "num_users": 12}
    >>> Effect(estimates, pd.DataFrame(), pd.DataFrame(), facts)
    Effect of prerec on shop: 60 queries of 12 users; change from factual (95 % interval)
      do(Z = 0): r_ndcg -0.1000 (-0.1100 to -0.0900), coverage -0.1000 (-0.1100 to -0.0900)
    """

    estimates: dict[str, Estimates]
    by_popularity: pd.DataFrame
    users: pd.DataFrame
    facts: dict[str, Any]

    def __repr__(self) -> str:
        lines = [f"Effect of {markdown.scope(self.facts)}; change from {FACTUAL} (95 % interval)"]
        arms = [name for name in self.estimates if name != FACTUAL]
        for name in arms[:_ARMS_SHOWN]:
            change = {metric: self.estimates[name].change[metric] for metric in ("r_ndcg", "coverage")}
            cells = [f"{metric} {one.value:+.4f} ({one.low:+.4f} to {one.high:+.4f})" for metric, one in change.items()]
            lines.append(f"  {name}: {', '.join(cells)}")
        if len(arms) > _ARMS_SHOWN:
            lines.append(f"  … and {len(arms) - _ARMS_SHOWN} more arms")
        return "\n".join(lines)

    def changes(self) -> pd.DataFrame:
        """Return ``arm, metric, value, low, high``: the change of each metric in each arm from the factual one."""
        rows = [
            {"arm": name, "metric": metric, "value": one.value, "low": one.low, "high": one.high}
            for name, found in self.estimates.items()
            for metric, one in found.change.items()
            if name != FACTUAL
        ]
        return pd.DataFrame(rows)

    def to_json(self, most_affected: int = 20) -> dict[str, Any]:
        """Return the report as plain JSON, with the `most_affected` users of each arm."""
        arms: dict[str, dict[str, Any]] = {}
        for name, found in self.estimates.items():
            groups = self.by_popularity[self.by_popularity["arm"] == name].drop(columns="arm")
            arms[name] = {
                "level": {metric: one.as_json() for metric, one in found.level.items()},
                "change": {metric: one.as_json() for metric, one in found.change.items()},
                "by_popularity": markdown.records(groups),
            }
            if name != FACTUAL:
                users = self.users[self.users["arm"] == name].drop(columns="arm")
                arms[name]["users"] = user_summary(users)
                arms[name]["most_affected"] = markdown.records(users.head(most_affected))
        return {"facts": self.facts, "arms": arms}

    def to_markdown(self, most_affected: int = 5) -> str:
        """Return the report as Markdown, with the `most_affected` users of each arm."""
        return markdown.effect(self.facts, self.estimates, self.by_popularity, self.users, most_affected)


def effect_report(
    model: CausalModel,
    domain: Domain | EncodedDomain,
    arms: Iterable[Arm] | None = None,
    *,
    as_if: Iterable[str] = (),
    semantics: Semantics = "interventional",
    measurement: Measurement | None = None,
) -> Effect:
    """Return the change of accuracy, exposure and single users' lists in each arm, compared with the factual one.

    Every arm ranks for the same queries. Differences are paired; their intervals come from the bootstrap over users.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    domain
        Domain to measure on.
    arms
        Arms to compare; None takes `default_arms`.
    as_if
        Passed to `default_arms`.
    semantics
        Semantics of every arm; see `Intervention`.
    measurement
        Queries and settings; None takes the test users.

    Raises
    ------
    InputError
        If the model has no confounders, an arm is not possible in this model, or there is no query.

    Examples
    --------
    >>> from prerec_pyro import PreRec, TrainConfig, simulate
    >>> from prerec_pyro.causal import Measurement
    >>> shops = simulate(2, num_items=30, num_users=40, num_days=20)
    >>> source, shop = (one.domain.with_embeddings(one.truth.item_mean) for one in shops)
    >>> model = PreRec(training=TrainConfig(epochs=1), device="cpu").fit([source])
    >>> found = effect_report(model, shop, measurement=Measurement(k_percent=10, draws=50))
    >>> list(found.estimates)
    ['factual', 'do(D ~ prior)', 'do(Z = 0)', 'do(D ~ prior, Z = 0)']
    """
    require_nodes(model, "DZ", "the effect report")
    encoded, measurement = model.encoded(domain), measurement or Measurement()
    if arms is not None and list(as_if):
        raise InputError("give arms or as_if, not both")
    chosen = default_arms(model, encoded.domain, as_if=as_if, seed=measurement.seed) if arms is None else list(arms)
    everything = _with_factual(chosen)
    dos = [do for arm in everything for do in arm.interventions]
    scorers = [model.scorer(encoded, do, semantics) for do in dos]
    queries, found = measurement.rank(lambda batch: (scorer(batch) for scorer in scorers), len(dos), encoded)
    ends = np.cumsum([len(arm.interventions) for arm in everything])
    lists = [found[end - len(arm.interventions) : end] for arm, end in zip(everything, ends, strict=True)]
    estimates = measurement.estimates(encoded, queries, lists)
    target_group = item_tenths(encoded)[encoded.domain.item_index[queries.events]]
    groups = [
        _by_popularity(arm.name, one, ranked, target_group)
        for arm, one, ranked in zip(everything, estimates, lists, strict=True)
    ]
    users = [
        affected_users(encoded.domain, queries, lists[0][0], ranked).assign(arm=arm.name)
        for arm, ranked in zip(chosen, lists[1:], strict=True)
    ]
    facts = {"model": model.name, **measurement.facts(encoded, queries), "semantics": semantics}
    facts["draws"] = {arm.name: len(arm.interventions) for arm in everything}
    facts["trained_on_domain"] = model.sources.row(encoded.domain) is not None
    named = {arm.name: one for arm, one in zip(everything, estimates, strict=True)}
    return Effect(named, pd.concat(groups, ignore_index=True), pd.concat(users, ignore_index=True), facts)


def _with_factual(arms: Sequence[Arm]) -> list[Arm]:
    """Return the arms after the factual one; raise `InputError` if there is none, or two share a name."""
    if not arms or not all(arm.interventions for arm in arms):
        raise InputError("the effect report: expected one arm or more, each with an intervention")
    everything = [Arm(FACTUAL, ({},)), *arms]
    if len({arm.name for arm in everything}) < len(everything):
        raise InputError("the effect report: two arms have the same name")
    return everything


def _by_popularity(
    name: str, found: Estimates, ranked: Sequence[RankedLists], target_group: np.ndarray
) -> pd.DataFrame:
    """Return the rows of ``by_popularity`` of one arm; `target_group` is ``(num_queries,)``."""
    recall = np.mean([lists.ranking.per_query("recall") for lists in ranked], axis=0)
    size = np.bincount(target_group, minlength=len(found.share))
    hits = np.bincount(target_group, recall, minlength=len(found.share))
    columns: dict[str, Any] = {"arm": name, "group": np.arange(1, len(found.share) + 1)}
    for label, estimates in (("share", found.share), ("share_change", found.share_change)):
        columns[label] = [one.value for one in estimates]
        columns[f"{label}_low"] = [one.low for one in estimates]
        columns[f"{label}_high"] = [one.high for one in estimates]
    with np.errstate(invalid="ignore"):  # no query in a tenth: NaN
        return pd.DataFrame(columns | {"recall": hits / size, "num_queries": size})

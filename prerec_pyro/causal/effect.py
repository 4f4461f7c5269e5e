"""What each confounder does: factual recommendations against do(D), do(Z) and both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prerec_pyro.causal import markdown
from prerec_pyro.causal.measurement.affected_users import affected_users, user_summary
from prerec_pyro.causal.measurement.answers import Lists
from prerec_pyro.causal.measurement.estimates import Estimates
from prerec_pyro.causal.measurement.measurement import Measurement, groups_of
from prerec_pyro.causal.protocol import CausalModel, require_nodes
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.intervention import Semantics, Value
from prerec_pyro.inference.prior.draws import prior_draws

FACTUAL = "factual"


@dataclass(frozen=True, eq=False)
class Arm:
    """One alternative to how things are: an intervention, or several that are averaged over.

    Attributes
    ----------
    name
        What to call it.
    interventions
        Each node → value, as ``do`` takes it.
    """

    name: str
    interventions: tuple[Mapping[str, Value], ...]


@dataclass(frozen=True, eq=False)
class Effect:
    """What `effect_report` found.

    Attributes
    ----------
    estimates
        Arm → accuracy and exposure, and what changes in them against the factual arm, with 95 % intervals over users.
    by_popularity
        A row an arm and tenth of the catalogue, 1 the least popular: ``arm``, ``group``, ``share`` of the places
        shown, ``share_low``, ``share_high``, ``share_change`` with its ends, and ``recall`` of the queries whose
        target is in the group, with ``num_queries`` of them.
    users
        A row an arm and user: ``arm``, ``user_id``, ``num_queries``, ``overlap`` (share of the list that stays),
        ``moved`` (mean of how many times as high a rank the target has, or 1 / that, whichever is above 1), ``r_ndcg``
        and ``r_ndcg_change``. Sorted, the most affected first.
    facts
        Plain JSON.
    """

    estimates: dict[str, Estimates]
    by_popularity: pd.DataFrame
    users: pd.DataFrame
    facts: dict[str, Any]

    def changes(self) -> pd.DataFrame:
        """Return ``arm, metric, value, low, high``: what changes in each arm against the factual one."""
        rows = [
            {"arm": name, "metric": metric, "value": one.value, "low": one.low, "high": one.high}
            for name, found in self.estimates.items()
            for metric, one in found.change.items()
            if name != FACTUAL
        ]
        return pd.DataFrame(rows)

    def to_json(self, most_affected: int = 20) -> dict[str, Any]:
        """Return everything, of the users the most affected, plain JSON."""
        arms = {}
        for name, found in self.estimates.items():
            groups = self.by_popularity[self.by_popularity["arm"] == name].drop(columns="arm")
            arms[name] = {
                "level": {metric: one.as_json() for metric, one in found.level.items()},
                "change": {metric: one.as_json() for metric, one in found.change.items()},
                "by_popularity": markdown.records(groups),
            }
            if name != FACTUAL:
                mine = self.users[self.users["arm"] == name].drop(columns="arm")
                arms[name]["users"] = user_summary(mine)
                arms[name]["most_affected"] = markdown.records(mine.head(most_affected))
        return {"facts": self.facts, "arms": arms}

    def to_markdown(self, most_affected: int = 5) -> str:
        """Return the report in Markdown."""
        return markdown.effect(self.facts, self.estimates, self.by_popularity, self.users, most_affected)


def default_arms(
    model: CausalModel, domain: Domain, *, as_if: Iterable[str] = (), num_draws: int = 4, seed: int = 0
) -> list[Arm]:
    """Return the arms do(D), do(Z) and both.

    Z is set to 0, no popularity. D of a domain that the model was trained on is set to 0, the average domain. A new
    domain is served as an average one already: its D is set to draws from the prior, any domain that there may be,
    and what is found is averaged over them. With `as_if` it is set to the D of trained domains instead, each an arm.

    Parameters
    ----------
    model, domain
        Which, and where.
    as_if
        Names of trained domains.
    num_draws, seed
        Draws of D for a new domain.

    Raises
    ------
    InputError
        If the model has no confounders, or a name is not one of its trained domains.
    """
    graph = require_nodes(model, "DZ", "the effect report")
    sources = model.sources
    names = list(dict.fromkeys(as_if))
    if unknown := [name for name in names if name not in sources.item_ids]:
        raise InputError(
            f"as if it were {unknown[0]!r}: the model was not trained on that; expected some of "
            f"{', '.join(sources.item_ids)}"
        )
    if names and "D" not in sources.nodes:
        raise InputError("as_if: D was not free when this model was trained, so all of its domains have D = 0")
    if names:
        rows = {name: sources.nodes["D"][list(sources.item_ids).index(name)] for name in names}
        settings = {f"do(D = {name})": ({"D": row},) for name, row in rows.items()}
    elif sources.row(domain) is not None:
        settings = {"do(D = 0)": ({"D": 0.0},)}
    else:
        drawn = prior_draws(graph, num_draws, seed=seed)["D"]
        settings = {"do(D ~ prior)": tuple({"D": row} for row in drawn)}
    arms = [Arm(name, dos) for name, dos in settings.items()]
    both = [Arm(f"{name[:-1]}, Z = 0)", tuple({**do, "Z": 0.0} for do in dos)) for name, dos in settings.items()]
    return [*arms, Arm("do(Z = 0)", ({"Z": 0.0},)), *both]


def effect_report(
    model: CausalModel,
    domain: Domain | EncodedDomain,
    arms: Iterable[Arm] | None = None,
    *,
    as_if: Iterable[str] = (),
    semantics: Semantics = "interventional",
    measurement: Measurement | None = None,
) -> Effect:
    """Return what confounders do to accuracy, to exposure and to single users: factual against each arm.

    Every arm answers the same queries; differences are paired, and their intervals come from the bootstrap over users.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    domain
        Where.
    arms
        What to compare with; None is `default_arms`.
    as_if
        For `default_arms`.
    semantics
        Of every arm; see `Intervention`.
    measurement
        On whose queries; None is the test users.

    Raises
    ------
    InputError
        If an arm cannot be asked of the model, or there is no query.
    """
    require_nodes(model, "DZ", "the effect report")
    encoded, measurement = model.encoded(domain), measurement or Measurement()
    if arms is not None and list(as_if):
        raise InputError("give arms or as_if, not both")
    arms = list(arms) if arms is not None else default_arms(model, encoded.domain, as_if=as_if, seed=measurement.seed)
    if not arms or not all(arm.interventions for arm in arms):
        raise InputError("the effect report: expected one arm or more, each with an intervention")
    everything = [Arm(FACTUAL, ({},)), *arms]
    if len({arm.name for arm in everything}) < len(everything):
        raise InputError("the effect report: two arms have the same name")
    dos = [do for arm in everything for do in arm.interventions]
    scorers = [model.scorer(encoded, do, semantics) for do in dos]
    queries, found = measurement.lists(lambda batch: (scorer(batch) for scorer in scorers), len(dos), encoded)
    ends = np.cumsum([len(arm.interventions) for arm in everything])
    answers = [found[end - len(arm.interventions) : end] for arm, end in zip(everything, ends, strict=True)]
    estimates = measurement.estimates(encoded, queries, answers)
    named = {arm.name: one for arm, one in zip(everything, estimates, strict=True)}
    targets = encoded.domain.item_index[queries.events]
    group = groups_of(encoded)[targets]
    groups = [
        _by_popularity(name, one, answer, group) for (name, one), answer in zip(named.items(), answers, strict=True)
    ]
    users = [
        affected_users(encoded.domain, queries, answers[0][0], answer).assign(arm=arm.name)
        for arm, answer in zip(arms, answers[1:], strict=True)
    ]
    facts = {"model": model.name, **measurement.facts(encoded, queries), "semantics": semantics}
    facts["draws"] = {arm.name: len(arm.interventions) for arm in everything}
    facts["trained_on_domain"] = model.sources.row(encoded.domain) is not None
    return Effect(named, pd.concat(groups, ignore_index=True), pd.concat(users, ignore_index=True), facts)


def _by_popularity(name: str, found: Estimates, answer: list[Lists], target_group: np.ndarray) -> pd.DataFrame:
    recall = np.mean([lists.ranking.per_query("recall") for lists in answer], axis=0)
    size = np.bincount(target_group, minlength=len(found.share))
    hits = np.bincount(target_group, recall, minlength=len(found.share))
    columns = {"arm": name, "group": np.arange(1, len(found.share) + 1)}
    for label, estimates in (("share", found.share), ("share_change", found.share_change)):
        columns |= {label: [one.value for one in estimates]}
        columns |= {f"{label}_{end}": [getattr(one, end) for one in estimates] for end in ("low", "high")}
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(columns | {"recall": hits / size, "num_queries": size})

"""Will transfer help? Zero-shot against its rivals on the domain at hand, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prerec_pyro.evaluation.bootstrap import Difference, paired_bootstrap

Kind = Literal["popularity", "texts", "zero-shot", "trained here"]
Recommendation = Literal["zero-shot", "fine-tune first", "stay with popularity"]
METRICS = ("r_ndcg", "recall")  # the first decides


@dataclass(frozen=True, eq=False)
class Rival:
    """What zero-shot is compared with.

    Attributes
    ----------
    name
        What to call it.
    kind
        Whether it is popularity, texts alone, another model that has not seen the domain, or one trained on it.
    values
        Metric → ``(num_queries,)`` of the same queries as ours; those of `METRICS`.
    """

    name: str
    kind: Kind
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Transfer:
    """The verdict.

    Attributes
    ----------
    against
        Rival → metric → how much better zero-shot is than it.
    recommendation, reason
        What to do, and why, a clause.
    """

    against: Mapping[str, Mapping[str, Difference]]
    recommendation: Recommendation
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Return ``{"against": {rival: numbers}, "recommendation": …}``: r-NDCG's, and recall's in ``"recall"``."""
        first, *others = METRICS
        against = {
            name: found[first].as_json() | {metric: found[metric].as_json() for metric in others}
            for name, found in self.against.items()
        }
        return {"against": against, "recommendation": self.recommendation}


def judge(ours: Mapping[str, np.ndarray], rivals: Sequence[Rival], users: np.ndarray, *, seed: int = 0) -> Transfer:
    """Compare zero-shot with every rival, by the paired bootstrap over users, and say what to do.

    r-NDCG decides, and a difference counts only where its whole 95 % interval is on one side of 0. In this order:

    1. *fine-tune first*, where a model trained on the domain is better than zero-shot, and than popularity where that
       was measured;
    2. *stay with popularity*, where zero-shot is not shown to be better than it: what is simpler stays;
    3. *fine-tune first*, where texts alone or another zero-shot model are better, which is negative transfer;
    4. *zero-shot* otherwise.

    Parameters
    ----------
    ours
        Metric → ``(num_queries,)`` of zero-shot; those of `METRICS`.
    rivals
        One or more.
    users
        ``(num_queries,)`` whose query each is.
    seed
        Of the bootstrap.
    """
    pairs = [(rival, metric) for rival in rivals for metric in METRICS]
    columns = [ours[metric] - rival.values[metric] for rival, metric in pairs]
    popular = [rival for rival in rivals if rival.kind == "popularity"]
    trained = [rival for rival in rivals if rival.kind == "trained here"]
    beside = [(own, pop) for own in trained for pop in popular]
    columns += [own.values[METRICS[0]] - pop.values[METRICS[0]] for own, pop in beside]
    found = paired_bootstrap(np.stack(columns, axis=1), users, seed=seed)
    against: dict[str, dict[str, Difference]] = {rival.name: {} for rival in rivals}
    for (rival, metric), difference in zip(pairs, found, strict=False):
        against[rival.name][metric] = difference
    not_above = {own.name for (own, _), gain in zip(beside, found[len(pairs) :], strict=True) if not gain.better}
    decisive = {name: differences[METRICS[0]] for name, differences in against.items()}
    worthwhile = [r.name for r in trained if decisive[r.name].worse and r.name not in not_above]
    return Transfer(against, *_decide(rivals, decisive, worthwhile))


def _decide(
    rivals: Sequence[Rival], decisive: Mapping[str, Difference], worthwhile: Sequence[str]
) -> tuple[Recommendation, str]:
    if worthwhile:
        return "fine-tune first", f"{_ranks(worthwhile)} better than zero-shot, trained on this domain"
    not_beaten = [r.name for r in rivals if r.kind == "popularity" and not decisive[r.name].better]
    if not_beaten:
        if any(decisive[name].worse for name in not_beaten):
            return "stay with popularity", "zero-shot ranks worse than popularity here: transfer is negative"
        return "stay with popularity", "zero-shot is not shown to rank better than popularity here"
    better = [r.name for r in rivals if r.kind in ("texts", "zero-shot") and decisive[r.name].worse]
    if better:
        return "fine-tune first", f"{_ranks(better)} better than zero-shot here: transfer is negative"
    beaten = [name for name, difference in decisive.items() if difference.better]
    if beaten:
        open_ = [name for name in decisive if name not in beaten]
        rest = f", and is not shown to differ from {_listed(open_)}" if open_ else ""
        return "zero-shot", f"it ranks better than {_listed(beaten)}{rest}"
    return "zero-shot", f"nothing measured is shown to rank better, nor worse: {_listed(decisive)}"


def paragraph(name: str, domain: str, verdict: Transfer, missing: Sequence[str] = ()) -> str:
    """Return the verdict in words.

    Parameters
    ----------
    name
        What served the domain zero-shot.
    domain
        Its name.
    verdict
        Of `judge`.
    missing
        Rivals that were not measured, each with how to add it.
    """
    parts = []
    for rival, found in verdict.against.items():
        gain = found[METRICS[0]]
        sure = "" if np.isnan(gain.low) else f" (95 % {gain.low:+.4f} to {gain.high:+.4f})"
        negative = ", worse" if gain.worse else ", better" if gain.better else ", open"
        parts.append(f"{rival} {gain.difference:+.4f}{sure}{negative}")
    text = f"Will transfer help in {domain}? {name}, r-NDCG less that of: {'; '.join(parts)}."
    text += f" Recommendation: {verdict.recommendation}, since {verdict.reason}."
    if missing:
        text += f" Not measured: {'; '.join(missing)}."
    return text


def _ranks(names: Sequence[str]) -> str:
    return f"{_listed(names)} {'rank' if len(names) > 1 else 'ranks'}"


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last

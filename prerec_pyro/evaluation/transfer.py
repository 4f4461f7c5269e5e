"""Transfer summary: zero-shot compared with its rivals on a domain, and a recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prerec_pyro.evaluation.bootstrap import Difference, paired_bootstrap

Kind = Literal["popularity", "texts", "zero-shot", "trained here"]
Recommendation = Literal["zero-shot", "fine-tune first", "stay with popularity"]
METRICS = ("r_ndcg", "recall")  # the first one decides


@dataclass(frozen=True, eq=False)
class Rival:
    """One recommender to compare zero-shot with.

    Attributes
    ----------
    name
        Name in the summary.
    kind
        ``"popularity"``; ``"texts"``, texts alone; ``"zero-shot"``, another model not trained on the domain; or
        ``"trained here"``, a model trained on the domain.
    values
        Each metric of `METRICS` → ``(num_queries,)``, on the same queries as zero-shot.

    Examples
    --------
    >>> import numpy as np
    >>> Rival("pop", "popularity", {"r_ndcg": np.zeros(3), "recall": np.zeros(3)}).kind
    'popularity'
    """

    name: str
    kind: Kind
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class TransferSummary:
    """Result of `transfer_summary`.

    Attributes
    ----------
    against
        Rival → metric → difference of zero-shot minus the rival.
    recommendation
        Recommended course.
    reason
        Reason for it, a clause.

    Examples
    --------
    >>> gain = Difference(0.2, 0.1, 0.3, 0.0)
    >>> against = {"pop": {"r_ndcg": gain, "recall": gain}}
    >>> TransferSummary(against, "zero-shot", "it ranks better than pop").as_json()["against"]["pop"]["low"]
    0.1
    """

    against: Mapping[str, Mapping[str, Difference]]
    recommendation: Recommendation
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Return ``{"against": {rival: numbers}, "recommendation": …}``, plain JSON.

        The numbers of a rival are those of r-NDCG; those of recall are under its key ``"recall"``.
        """
        first, *others = METRICS
        against: dict[str, dict[str, Any]] = {
            name: {**found[first].as_json(), **{metric: found[metric].as_json() for metric in others}}
            for name, found in self.against.items()
        }
        return {"against": against, "recommendation": self.recommendation}


def transfer_summary(
    zero_shot: Mapping[str, np.ndarray], rivals: Sequence[Rival], users: np.ndarray, *, seed: int = 0
) -> TransferSummary:
    """Return the comparison of zero-shot with every rival, by the paired bootstrap over users, and a recommendation.

    r-NDCG decides. A difference counts only if its whole 95 % interval is on one side of 0. The rules, in this order:

    1. *fine-tune first*, if a model trained on the domain is better than zero-shot, and also better than popularity
       where that was measured;
    2. *stay with popularity*, if zero-shot is not shown to be better than popularity: the simpler method wins;
    3. *fine-tune first*, if texts alone or another zero-shot model are better: transfer is negative;
    4. *zero-shot* otherwise.

    Parameters
    ----------
    zero_shot
        Each metric of `METRICS` → ``(num_queries,)`` of zero-shot.
    rivals
        One or more.
    users
        ``(num_queries,)`` user of each query.
    seed
        Seed of the bootstrap.

    Examples
    --------
    >>> import numpy as np
    >>> users, noise = np.arange(50), np.random.default_rng(0).random(50) / 10
    >>> ours = {"r_ndcg": 0.5 + noise, "recall": 0.6 + noise}
    >>> pop = Rival("pop", "popularity", {"r_ndcg": 0.3 + noise[::-1], "recall": 0.4 + noise[::-1]})
    >>> found = transfer_summary(ours, [pop], users)
    >>> found.recommendation, found.reason
    ('zero-shot', 'it ranks better than pop')
    """
    pairs = [(rival, metric) for rival in rivals for metric in METRICS]
    columns = [zero_shot[metric] - rival.values[metric] for rival, metric in pairs]
    popularity = [rival for rival in rivals if rival.kind == "popularity"]
    trained = [rival for rival in rivals if rival.kind == "trained here"]
    trained_pairs = [(model, pop) for model in trained for pop in popularity]
    columns += [model.values[METRICS[0]] - pop.values[METRICS[0]] for model, pop in trained_pairs]
    found = paired_bootstrap(np.stack(columns, axis=1), users, seed=seed)
    against: dict[str, dict[str, Difference]] = {rival.name: {} for rival in rivals}
    for (rival, metric), difference in zip(pairs, found, strict=False):
        against[rival.name][metric] = difference
    gains = zip(trained_pairs, found[len(pairs) :], strict=True)
    not_above_popularity = {model.name for (model, _), gain in gains if not gain.better}
    decisive = {name: differences[METRICS[0]] for name, differences in against.items()}
    worth_training = [r.name for r in trained if decisive[r.name].worse and r.name not in not_above_popularity]
    return TransferSummary(against, *_recommend(rivals, decisive, worth_training))


def _recommend(
    rivals: Sequence[Rival], decisive: Mapping[str, Difference], worth_training: Sequence[str]
) -> tuple[Recommendation, str]:
    """Return the recommendation and its reason, by the rules of `transfer_summary`."""
    if worth_training:
        return "fine-tune first", f"{_ranks(worth_training)} better than zero-shot, trained on this domain"
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
        undecided = [name for name in decisive if name not in beaten]
        rest = f", and is not shown to differ from {_enumerate(undecided)}" if undecided else ""
        return "zero-shot", f"it ranks better than {_enumerate(beaten)}{rest}"
    return "zero-shot", f"no rival is shown to rank better or worse: {_enumerate(decisive)}"


def describe_transfer(name: str, domain: str, summary: TransferSummary, missing: Sequence[str] = ()) -> str:
    """Return the summary as a paragraph.

    Parameters
    ----------
    name
        Name of the zero-shot recommender.
    domain
        Name of the domain.
    summary
        From `transfer_summary`.
    missing
        Rivals that were not measured, each with the way to add it.

    Examples
    --------
    >>> gain = Difference(0.2, 0.1, 0.3, 0.0)
    >>> summary = TransferSummary({"pop": {"r_ndcg": gain}}, "zero-shot", "it ranks better than pop")
    >>> numbers, recommendation = describe_transfer("prerec", "shop", summary).split(". ")
    >>> numbers
    'Transfer to shop: r-NDCG of prerec minus that of pop +0.2000 (95 % +0.1000 to +0.3000), better'
    >>> recommendation
    'Recommendation: zero-shot, since it ranks better than pop.'
    """
    parts = []
    for rival, found in summary.against.items():
        gain = found[METRICS[0]]
        interval = "" if np.isnan(gain.low) else f" (95 % {gain.low:+.4f} to {gain.high:+.4f})"
        finding = ", worse" if gain.worse else ", better" if gain.better else ", undecided"
        parts.append(f"{rival} {gain.difference:+.4f}{interval}{finding}")
    text = f"Transfer to {domain}: r-NDCG of {name} minus that of {'; '.join(parts)}."
    text += f" Recommendation: {summary.recommendation}, since {summary.reason}."
    if missing:
        text += f" Not measured: {'; '.join(missing)}."
    return text


def _ranks(names: Sequence[str]) -> str:
    return f"{_enumerate(names)} {'rank' if len(names) > 1 else 'ranks'}"


def _enumerate(names: Sequence[str] | Mapping[str, Any]) -> str:
    """Return names as ``"a, b and c"``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last

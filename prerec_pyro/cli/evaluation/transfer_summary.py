"""The end of ``evaluate``: whether transfer helps on the domain at hand, from the rows that were measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from prerec_pyro.data.domain import Domain
    from prerec_pyro.evaluation.protocol import Evaluation
    from prerec_pyro.evaluation.transfer import Rival
    from prerec_pyro.ranking.lists import Recommender
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.registry import Model

_PLAIN = {"pop": "popularity", "sbert": "texts"}
_HOW_TO_ADD = {
    "pop": "popularity (--methods pop)",
    "sbert": "texts alone (--methods sbert)",
    "prerec_n": "prerec_n (train it on the same sources with --method prerec_n, then --model)",
    "trained here": "a model of this domain's own log (train --source with --method sasrec, or --from to fine-tune, "
    "then --model)",
}


@dataclass(frozen=True, eq=False)
class Measured:
    """One row of the table.

    Attributes
    ----------
    path
        Of its model; None for a method without training.
    recommender
        What was measured.
    model
        The model, where there is one.
    result
        Its ranks.
    row
        The JSON row of all queries.
    """

    path: Path | None
    recommender: Recommender
    model: Model | CalibratedPreRec
    result: Evaluation
    row: dict[str, Any]


def add_to_rows(measured: Sequence[Measured], domain: Domain) -> list[str]:
    """Put ``"transfer"`` into the row of each PreRec that served the domain zero-shot; return the verdicts in words.

    A model that was measured calibrated too is judged by that row. Without such a model, or a rival, there is nothing
    to say.
    """
    from prerec_pyro.evaluation.transfer import judge, paragraph

    ours = {one.path: one for one in measured if _is_zero_shot_prerec(one, domain)}  # calibrated comes after plain
    rivals, missing = list(_rivals(measured, domain)), _missing(measured, domain)
    texts = []
    for one in ours.values() if rivals else ():
        found = judge(_values(one), rivals, one.result.users)
        name = one.row["method"] if len(ours) == 1 else f"{one.row['method']} ({one.path})"
        texts.append(paragraph(name, domain.name, found, missing))
        one.row["transfer"] = found.as_json() | {"text": texts[-1]}
    return texts


def _is_zero_shot_prerec(one: Measured, domain: Domain) -> bool:
    return one.row["method"] in ("prerec", "prerec_calibrated") and not _knows(one, domain)


def _knows(one: Measured, domain: Domain) -> bool:
    """Whether the row is that of a model that was trained on the domain."""
    return one.path is not None and _trained(one).sources.row(domain) is not None


def _trained(one: Measured) -> Model:
    return getattr(one.model, "model", one.model)  # that of a calibrated one


def _rivals(measured: Sequence[Measured], domain: Domain) -> Iterator[Rival]:
    from prerec_pyro.evaluation.transfer import Rival

    taken: set[str] = set()
    for one in measured:
        method = one.row["method"]
        if one.path is None:
            kind, name = _PLAIN.get(method), method
        elif _knows(one, domain):
            # Calibration changes nothing where the model was trained.
            kind = None if method.endswith("_calibrated") else "trained here"
            name = f"{method} {_how_trained(_trained(one))}"
        else:
            kind, name = None if method in ("prerec", "prerec_calibrated") else "zero-shot", method
        if kind is not None:
            name = f"{name} ({one.path})" if name in taken else name
            taken.add(name)
            yield Rival(name, kind, _values(one))


def _how_trained(model: Model) -> str:
    if "fine_tuned_from" in model.facts:
        return "fine-tuned"
    return "from scratch" if len(model.sources.item_ids) == 1 else "trained on it too"


def _values(one: Measured) -> dict[str, np.ndarray]:
    from prerec_pyro.evaluation.transfer import METRICS

    return {metric: one.result.ranking.per_query(metric) for metric in METRICS}


def _missing(measured: Sequence[Measured], domain: Domain) -> list[str]:
    there = {one.row["method"] for one in measured if not _knows(one, domain)}
    if any(_knows(one, domain) for one in measured):
        there.add("trained here")
    return [how for name, how in _HOW_TO_ADD.items() if name not in there]

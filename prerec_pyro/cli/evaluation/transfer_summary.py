"""Summary of transfer at the end of ``evaluate``: zero-shot models against the other measured rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from prerec_pyro.data.domain import Domain
    from prerec_pyro.evaluation.protocol import Evaluation
    from prerec_pyro.evaluation.transfer import Kind, Rival
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.registry import Model

_UNTRAINED: dict[str, Kind] = {"pop": "popularity", "sbert": "texts"}
_ZERO_SHOT = ("prerec", "prerec_calibrated")
_HOW_TO_ADD = {
    "pop": "popularity (--methods pop)",
    "sbert": "texts alone (--methods sbert)",
    "prerec_n": "prerec_n (train it on the same sources with --method prerec_n, then add it by --model)",
    "trained here": "a model trained on this domain (train --source with --method sasrec, or --from to fine-tune; then "
    "add it by --model)",
}


@dataclass(frozen=True, eq=False)
class Measured:
    """Metrics of one recommender.

    Attributes
    ----------
    path
        Folder of a trained model; None for a method without training.
    model
        The trained model; for a method without training, the model that encoded the domain.
    result
        Ranks of the targets.
    rows
        JSON rows: all queries, then the unseen ones if there are sources.
    """

    path: Path | None
    model: Model | CalibratedPreRec
    result: Evaluation
    rows: list[dict[str, Any]]

    @property
    def row(self) -> dict[str, Any]:
        """JSON row of all queries."""
        return self.rows[0]

    @property
    def trained(self) -> Model:
        """The model without calibration."""
        from prerec_pyro.recommenders.calibrated import CalibratedPreRec

        return self.model.model if isinstance(self.model, CalibratedPreRec) else self.model

    def trained_on(self, domain: Domain) -> bool:
        """Return whether this is a model that was trained on the domain."""
        return self.path is not None and self.trained.sources.row(domain) is not None


def add_to_rows(measured: Sequence[Measured], domain: Domain) -> list[str]:
    """Return a paragraph for each PreRec model that is new to the domain, and add ``"transfer"`` to its row.

    If a model was also measured calibrated, the paragraph compares the calibrated row. The list is empty if there is no
    such model or no row to compare it with.

    Parameters
    ----------
    measured
        Metrics of all recommenders; the calibrated ones come after the plain ones.
    domain
        Domain that they were measured on.
    """
    from prerec_pyro.evaluation import describe_transfer, transfer_summary

    ours = {one.path: one for one in measured if _is_zero_shot_prerec(one, domain)}  # a calibrated row wins
    rivals, missing = list(_rivals(measured, domain)), _missing(measured, domain)
    texts = []
    for one in ours.values() if rivals else ():
        found = transfer_summary(_values(one), rivals, one.result.users)
        name = one.row["method"] if len(ours) == 1 else f"{one.row['method']} ({one.path})"
        texts.append(describe_transfer(name, domain.name, found, missing))
        one.row["transfer"] = found.as_json() | {"text": texts[-1]}
    return texts


def _is_zero_shot_prerec(one: Measured, domain: Domain) -> bool:
    return one.row["method"] in _ZERO_SHOT and not one.trained_on(domain)


def _rivals(measured: Sequence[Measured], domain: Domain) -> Iterator[Rival]:
    from prerec_pyro.evaluation.transfer import Rival

    names: set[str] = set()
    for one in measured:
        method = one.row["method"]
        name, kind = method, _kind(one, domain)
        if kind is None:
            continue
        if kind == "trained here":
            name = f"{method} {_how_trained(one.trained)}"
        name = f"{name} ({one.path})" if name in names else name
        names.add(name)
        yield Rival(name, kind, _values(one))


def _kind(one: Measured, domain: Domain) -> Kind | None:
    """Return the kind of a rival of zero-shot PreRec; None if the row is none."""
    method = one.row["method"]
    if one.path is None:
        return _UNTRAINED.get(method)
    if one.trained_on(domain):  # calibration changes nothing there, so a calibrated row is left out
        return None if method.endswith("_calibrated") else "trained here"
    return None if method in _ZERO_SHOT else "zero-shot"


def _how_trained(model: Model) -> str:
    if "fine_tuned_from" in model.facts:
        return "fine-tuned"
    return "from scratch" if len(model.sources.item_ids) == 1 else "trained on it too"


def _values(one: Measured) -> dict[str, np.ndarray]:
    from prerec_pyro.evaluation.transfer import METRICS

    return {metric: one.result.ranking.per_query(metric) for metric in METRICS}


def _missing(measured: Sequence[Measured], domain: Domain) -> list[str]:
    """Return the rivals that were not measured, each with how to add it."""
    present = {one.row["method"] for one in measured if not one.trained_on(domain)}
    if any(one.trained_on(domain) for one in measured):
        present.add("trained here")
    return [how for name, how in _HOW_TO_ADD.items() if name not in present]

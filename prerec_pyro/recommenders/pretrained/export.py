"""Portable copies of a model: without the items, ids and domain vectors of its sources, in half precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

import torch

from prerec_pyro.errors import InputError
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.recommenders.pretrained.shipped import model_folder
from prerec_pyro.recommenders.serialization import SavedModel

SourceNotes = Mapping[str, Mapping[str, Any]]
"""Name of a source → what its log does not say: ``terms``, ``language``, ``kind``, and ``any_use``, a bool."""

Dtype = Literal["float16", "float32"]
_NOTES = ("terms", "language", "kind", "any_use")
_KEPT = ("name", "num_items", "num_users", "num_interactions", "popularity", *_NOTES)


class _Model(Protocol):
    """The parts of `PreRec` that the methods use."""

    def _contents(self) -> SavedModel: ...

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Self: ...


M = TypeVar("M", bound=_Model)


class PretrainedMixin:
    """Models that ship, and models to pass on."""

    @classmethod
    def from_pretrained(cls: type[M], name: str | Path = "base", device: str = "auto") -> M:
        """Return a model that ships with the package, or the model of a folder.

        A shipped model knows no domain: each one is new to it. It recommends there without training (eq. 5), and it
        can be calibrated and fine-tuned. Its model card, ``MODEL_CARD.md``, names its sources and their terms.

        Parameters
        ----------
        name
            ``"base"``, trained on all logs of the corpus, for research and evaluation; ``"open"``, trained only on
            logs whose licence allows any use; or a model folder. A folder that is called ``base`` is given as
            ``"./base"``.
        device
            Device of the model.

        Raises
        ------
        InputError
            If there is neither such a shipped model nor such a folder, or a file is damaged.
        """
        return cls.load(model_folder(name), device)

    def export(
        self: _Model,
        folder: str | Path,
        *,
        dtype: Dtype = "float16",
        notes: SourceNotes | None = None,
        leave_one_out: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Write a portable copy of the model, with a model card; this model does not change.

        The copy holds what a new domain is served with, which is the parameters of the graph, what new items have in
        the sources and, to predict S from, S and a few features of each source, and names and sizes of the sources. It
        leaves out their item ids and fingerprints, item offsets and D. So it knows no trained domain. Its zero-shot
        scores are those of this model, up to the rounding of `dtype`.

        Parameters
        ----------
        folder
            The model folder to write; see `checkpoint.save_model`.
        dtype
            Precision of the matrices on disk; they are loaded as float32. Vectors and single numbers stay float32.
        notes
            What the card says of each source beside its size; see `SourceNotes`.
        leave_one_out
            Rows ``target, label, recall, r_ndcg`` for the card.

        Raises
        ------
        InputError
            If the model is not trained, `notes` names no source, a number is too large for `dtype`, or the folder
            cannot be written.
        """
        portable_copy(self._contents(), dtype, notes or {}, leave_one_out).write(Path(folder))


def portable_copy(
    saved: SavedModel,
    dtype: Dtype = "float16",
    notes: SourceNotes | None = None,
    leave_one_out: Sequence[Mapping[str, Any]] | None = None,
) -> SavedModel:
    """Return the contents of a model without what belongs to a source; see `PretrainedMixin.export`."""
    facts = _without_data(saved.facts)
    domains = facts.get("domains", [])
    names = [one["name"] for one in domains]
    for name, note in (notes or {}).items():
        if name not in names:
            raise InputError(f"notes: {name!r} is no source of this model; expected some of {', '.join(names)}")
        if unknown := [key for key in note if key not in _NOTES]:
            raise InputError(f"notes: {name}: there is no {unknown[0]!r}; expected some of {', '.join(_NOTES)}")
        domains[names.index(name)].update(note)
    facts["portable"] = True
    if leave_one_out is not None:
        facts["leave_one_out"] = [dict(row) for row in leave_one_out]
    sources = TrainedDomains(nodes=saved.sources.carried(saved.graph))
    return replace(saved, sources=sources, facts=facts, dtype=_checked(saved, dtype))


def _checked(saved: SavedModel, dtype: Dtype) -> torch.dtype:
    """Return the type that is called `dtype`, which has to hold every matrix."""
    if dtype not in ("float16", "float32"):
        raise InputError(f"dtype {dtype!r}: expected 'float16' or 'float32'")
    chosen = torch.float16 if dtype == "float16" else torch.float32
    for name, value in saved.graph.state_dict().items():
        if value.ndim > 1 and not value.to(chosen).isfinite().all():
            raise InputError(f"{name} holds numbers that {dtype} cannot hold; export the model with dtype='float32'")
    return chosen


def _without_data(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a manifest with no more of each domain than its name, its sizes and its terms."""
    kept = dict(facts)
    if "domains" in kept:
        kept["domains"] = [{key: one[key] for key in _KEPT if key in one} for one in kept["domains"]]
    if "fine_tuned_from" in kept:
        kept["fine_tuned_from"] = _without_data(kept["fine_tuned_from"])
    return kept

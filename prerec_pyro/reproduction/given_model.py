"""A trained model that rows of a study start from, in place of one that the study pre-trains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError
from prerec_pyro.recommenders.base import BaseRecommender
from prerec_pyro.recommenders.pretrained.shipped import model_folder, model_hash, model_label
from prerec_pyro.recommenders.registry import Model, load_model
from prerec_pyro.reproduction.rows import Row


@dataclass(frozen=True, eq=False)
class GivenModel:
    """A trained model, and what identifies it in cells and reports.

    Attributes
    ----------
    model
        The model; the zero-shot, calibrated and fine-tuned rows of its method start from it.
    label
        Its folder, or its name if it ships with the package.
    hash
        Hash of its weights and configuration; see `model_hash`.
    """

    model: Model
    label: str
    hash: str

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> GivenModel:
        """Return the model of a folder.

        Raises
        ------
        InputError
            If there is no such model, or it counts popularity relative to the active items: a study does not.
        """
        model = load_model(model_folder(folder), device)
        if model.normalizer != "catalogue":
            raise InputError(
                f"--from {model_label(folder)}: was trained with --normalizer {model.normalizer}, but all rows share "
                "popularity relative to the catalogue; give a model trained without that option"
            )
        return cls(model, model_label(folder), model_hash(folder))

    def serves(self, row: Row) -> bool:
        """Return whether a row starts from this model."""
        return row.from_sources and row.method == self.model.name

    def check_new(self, target: Domain) -> None:
        """Raise `InputError` if the model was trained on a domain with the name of a target."""
        trained = [*self.model.sources.item_ids, *(one["name"] for one in self.model.facts.get("domains", []))]
        if target.name in trained:
            raise InputError(
                f"--from {self.label}: was trained on a domain called {target.name!r}, so this target is not new; "
                "choose another target, or give it another name if it is not that domain (data import --name)"
            )

    def check_encoder(self, template: BaseRecommender) -> None:
        """Raise `InputError` if the domains of a study were encoded by another text encoder than the model's."""
        if template.encoder_revision not in (None, self.model.encoder_revision):
            raise InputError(
                f"--from {self.label}: was trained with text encoder {self.model.encoder_name!r}, revision "
                f"{self.model.encoder_revision}, but the domains are encoded by {template.encoder_name!r}, revision "
                f"{template.encoder_revision}; install the encoder that it was trained with"
            )

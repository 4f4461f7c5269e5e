"""Recommenders to measure: trained models under an intervention, and methods without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.ranking.lists import Recommender, Scorer
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import Model

BASELINES = ("random", "pop", "sbert")
"""Names of the methods without training."""


class Intervened:
    """A trained model under ``do``, as a `Recommender`.

    Parameters
    ----------
    model
        Trained model.
    do
        Intervention, node → value; may be empty.
    """

    def __init__(self, model: Model | CalibratedPreRec, do: Mapping[str, Any]) -> None:
        self.name: str = model.name
        self._model, self._do = model, do

    def scorer(self, encoded: EncodedDomain) -> Scorer:
        """Return a function from a batch to ``(num_queries, num_items)`` scores under the intervention."""
        return self._model.scorer(encoded, self._do)


@dataclass(frozen=True)
class Entry:
    """A recommender to measure.

    Attributes
    ----------
    recommender
        The recommender.
    model
        The model that encodes the domain for it.
    path
        Folder of a trained model; None for a method without training.
    """

    recommender: Recommender
    model: Model | CalibratedPreRec
    path: Path | None = None

    @property
    def label(self) -> str:
        """Name of the method, with the folder of a trained model."""
        return self.recommender.name if self.path is None else f"{self.recommender.name} ({self.name_of_model})"

    @property
    def name_of_model(self) -> str:
        """Folder of a trained model, or its name if it ships with the package; empty without a model."""
        from prerec_pyro.recommenders.pretrained.shipped import model_label

        return "" if self.path is None else model_label(self.path)

    def facts(self, do: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the rows of a trained model hold besides the metrics: ``model`` and, if there is one, ``do``."""
        if self.path is None:
            return {}
        return {"model": self.name_of_model} | ({"do": dict(do)} if do else {})


class Encodings:
    """Encodings of one domain, each made once for all models that share it.

    Parameters
    ----------
    domain
        Domain to encode.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._done: dict[tuple[object, ...], EncodedDomain] = {}

    def of(self, model: Model | CalibratedPreRec) -> EncodedDomain:
        """Return the domain as `model` encodes it."""
        if self._key(model) not in self._done:
            encoded = model.encode(self._domain)  # a new model learns the revision of its encoder here
            self._done[self._key(model)] = encoded
        return self._done[self._key(model)]

    def _key(self, model: Model | CalibratedPreRec) -> tuple[object, ...]:
        own = self._domain.embeddings is not None
        texts = None if own else (model.encoder_name, model.encoder_revision)
        newcomers = model.newcomers_in(self._domain)
        raised = None if newcomers is None else newcomers.as_array().tobytes()
        return texts, model.window, model.normalizer, raised


def baseline(name: str) -> Recommender:
    """Return a method without training.

    Parameters
    ----------
    name
        One of `BASELINES`.
    """
    from prerec_pyro.models.baselines import SBERT, MostPopular, Random

    make: dict[str, Callable[[], Recommender]] = {"random": Random, "pop": MostPopular, "sbert": SBERT}
    return make[name]()


def baseline_model(models: Sequence[Model], domain: Domain, encoder: str | None, window: int, device: str) -> PreRec:
    """Return an untrained model that encodes the domain for the methods without training.

    Parameters
    ----------
    models
        Trained models; the methods take the text encoder and the popularity normalizer of the first one.
    domain
        Domain to encode.
    encoder
        Text encoder instead of that; None for the default.
    window
        Days of interactions that popularity counts.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    """
    from prerec_pyro.data.text.encoder import load_encoder
    from prerec_pyro.recommenders.prerec import PreRec

    model = PreRec(window=window, device=device)
    if models:
        model.encoder_name, model.encoder_revision = models[0].encoder_name, models[0].encoder_revision
        model.normalizer = models[0].normalizer
    if encoder is not None and domain.embeddings is None:
        loaded = load_encoder(encoder, str(model.device))
        model.encoder_name, model.encoder_revision = loaded.name, loaded.revision
    return model

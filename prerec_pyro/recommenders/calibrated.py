"""Calibrated zero-shot: `PreRec` with the effect scales S estimated from the log of the domain at hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import InterventionalScorer, Semantics, Value
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.wrapper import RecommenderWrapper


class CalibratedPreRec(RecommenderWrapper):
    """A trained model that serves a new domain with S at its posterior mode, given the log before each query's day.

    All networks stay as they are. A domain that the model was trained on has its own S, and the model itself serves it,
    as it serves a domain without a log. On the command line, `infer` and `evaluate` calibrate unless ``--plain`` is
    given; in Python a `PreRec` is plain, and this class calibrates it.

    Parameters
    ----------
    model
        A trained `PreRec` of a graph with S.
    users
        ``(n,)`` user rows of the domain whose log may be read; in an evaluation, none that are measured. None is all.
    only_last
        Whether lists are made after the last event alone, so that S is estimated there and at no other time.

    >>> from prerec_pyro import CalibratedPreRec, ExtendedConfig, PreRec, TrainConfig, simulate
    >>> stores = [store.domain.with_embeddings(store.truth.V) for store in simulate(2, num_items=30, num_users=40)]
    >>> model = PreRec(ExtendedConfig(latent_dim=8), training=TrainConfig(epochs=0), device="cpu").fit(stores[:1])
    >>> CalibratedPreRec(model).recommend(stores[1], k=2).columns.tolist()
    ['user_id', 'item_id', 'score', 'rank']
    """

    model: PreRec

    def __init__(self, model: PreRec, users: np.ndarray | None = None, *, only_last: bool = False) -> None:
        super().__init__(model)
        self.users, self.only_last = users, only_last
        self._estimated: tuple[EncodedDomain, Calibration | None] | None = None

    @property
    def name(self) -> str:
        """Name of the model, and ``"_calibrated"``."""
        return f"{self.model.name}_calibrated"

    def scorer(
        self,
        encoded: EncodedDomain,
        do: Mapping[str, Value] | None = None,
        semantics: Semantics = "interventional",
    ) -> InterventionalScorer:
        """Return the model's scorer, calibrated."""
        return self.model.scorer(encoded, do, semantics, calibration=self.calibration(encoded))

    def calibration(self, encoded: EncodedDomain) -> Calibration | None:
        """Return S of the domain over time, estimated once; None without a log, or if trained on it."""
        if self._estimated is None or self._estimated[0] is not encoded:
            users = np.arange(encoded.domain.num_users) if self.users is None else self.users
            self._estimated = encoded, self.model.calibrate(encoded, users, only_last=self.only_last)
        return self._estimated[1]

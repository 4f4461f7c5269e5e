"""Calibrated zero-shot: `PreRec` with S of the domain at hand read off the domain's own log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import InterventionalScorer, Semantics, Value
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.wrapper import RecommenderWrapper


class CalibratedPreRec(RecommenderWrapper):
    """A trained model that serves new domains with S at its posterior mode, given what came before each query's day.

    All networks stay as they are. A domain that the model was trained on has its own S, and is served as by the model.

    Parameters
    ----------
    model
        A trained `PreRec`.
    users
        ``(n,)`` user rows of the domain whose log may be read: in an evaluation none of those that are measured. None
        is everybody.
    """

    model: PreRec

    def __init__(self, model: PreRec, users: np.ndarray | None = None) -> None:
        super().__init__(model)
        self.users = users
        self._done: tuple[EncodedDomain, Calibration | None] | None = None

    @property
    def name(self) -> str:
        """That of the model, and ``"_calibrated"``."""
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
        """Return S of the domain over time, estimated once; None where the model was trained on it."""
        if self._done is None or self._done[0] is not encoded:
            users = np.arange(encoded.domain.num_users) if self.users is None else self.users
            self._done = encoded, self.model.calibrate(encoded, users)
        return self._done[1]

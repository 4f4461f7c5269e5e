"""The back-door adjustment in full, as a recommender: `PreRec` with D averaged over rather than set to its mean."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from prerec_pyro.causal.protocol import CausalModel
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.interventions.backdoor import AveragedScorer
from prerec_pyro.inference.interventions.intervention import Semantics, Value
from prerec_pyro.inference.prior.draws import Sampling, prior_draws
from prerec_pyro.recommenders.base import BaseRecommender


class BackdoorAdjustedPreRec(BaseRecommender):
    """A model that adjusts for D by the full back-door formula, P(R | do(…)) = E_D P(R | do(…), D).

    The paper's shortcut (eq. 5) serves a new domain at D = 0. Here U and V are computed at each draw of D, and choice
    probabilities are averaged: over the prior of D, or over a posterior where draws of one are given. `score` returns
    the log of that average, `recommend` ranks by it. docs/causal.md measures how far the two are apart.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    num_draws, sampling, seed
        Of the prior draws; see `prior_draws`.
    draws
        In their place, draws of any free sites: site → ``(num_draws, …)``, as ``Posterior.thinned`` gives them. The
        answer is then the posterior prediction.

    Raises
    ------
    InputError
        If the model is not trained or has no D.
    """

    def __init__(
        self,
        model: CausalModel,
        *,
        num_draws: int = 32,
        sampling: Sampling = "auto",
        seed: int = 0,
        draws: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(
            encoder=model.encoder_name, window=model.window, normalizer=model.normalizer, device=str(model.device)
        )
        self.encoder_revision = model.encoder_revision
        self.model = model
        graph = model.graph
        self.draws = dict(draws) if draws is not None else prior_draws(graph, num_draws, sampling=sampling, seed=seed)

    @property
    def name(self) -> str:
        """That of the model, and ``"_adjusted"``."""
        return f"{self.model.name}_adjusted"

    def scorer(
        self, encoded: EncodedDomain, do: Mapping[str, Value] | None = None, semantics: Semantics = "interventional"
    ) -> AveragedScorer:
        """Return log E_D P(R | do(…), D) on a domain as a function of batches."""
        return AveragedScorer(self.model.scorer(encoded, do, semantics), self.draws)

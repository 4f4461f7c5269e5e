"""`PreRec` with the full back-door adjustment: choice probabilities are averaged over D."""

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

    The paper's shortcut (eq. 5) serves a new domain at D = 0. This class computes U and V at each draw of D and
    averages the choice probabilities. The draws come from the prior of D, or from a posterior if `draws` are given.
    `score` returns the log of the average, and `recommend` ranks by it. docs/causal.md measures the difference.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    num_draws, sampling, seed
        Number, kind and seed of the prior draws; see `prior_draws`.
    draws
        Draws of any free sites to use instead: site → ``(num_draws, …)``, as ``Posterior.thinned`` returns them. The
        result is then the posterior prediction.

    Raises
    ------
    InputError
        If the model is not trained or has no D.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro import BackdoorAdjustedPreRec, PreRec, TrainConfig
    >>> from prerec_pyro.data.simulation.simulate import simulate
    >>> rng = np.random.default_rng(0)
    >>> parts = simulate(2, num_items=20, num_users=20, num_days=10)
    >>> source, shop = (one.domain.with_embeddings(rng.normal(size=(one.domain.num_items, 8))) for one in parts)
    >>> model = PreRec(training=TrainConfig(epochs=1), device="cpu").fit([source])
    >>> adjusted = BackdoorAdjustedPreRec(model, num_draws=4)
    >>> adjusted.recommend(shop, k=3).shape == (3 * shop.num_users, 4)
    True
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
        """Name of the model, with ``"_adjusted"`` added."""
        return f"{self.model.name}_adjusted"

    def scorer(
        self, encoded: EncodedDomain, do: Mapping[str, Value] | None = None, semantics: Semantics = "interventional"
    ) -> AveragedScorer:
        """Return log E_D P(R | do(…), D) on a domain as a function of batches."""
        return AveragedScorer(self.model.scorer(encoded, do, semantics), self.draws)

"""`PreRec` with D, S and lifted weights of one domain at their posterior mean."""

from __future__ import annotations

from collections.abc import Mapping

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.scorer import InterventionalScorer, Semantics, Value
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.wrapper import RecommenderWrapper


class PosteriorMeanPreRec(RecommenderWrapper):
    """A trained model that serves one domain with D, S and lifted weights at their posterior mean (eq. 6).

    Zero-shot inference integrates D out (eq. 5). A store with a log has a posterior of D, and its mean is used instead.
    Networks and items do not change.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`. The S of a `CalibratedPreRec` follows the log through time and is
        kept.
    posterior
        The posterior of the domain, as ``model.posterior(domain)`` returns it. In an evaluation it must not be given
        the users that are measured.

    Raises
    ------
    InputError
        If the posterior has no site that would change the model.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from prerec_pyro import PosteriorMeanPreRec, PreRec, TrainConfig
    >>> from prerec_pyro.data.simulation.simulate import simulate
    >>> from prerec_pyro.inference.posterior.result import Posterior
    >>> rng = np.random.default_rng(0)
    >>> parts = simulate(2, num_items=20, num_users=20, num_days=10)
    >>> source, shop = (one.domain.with_embeddings(rng.normal(size=(one.domain.num_items, 8))) for one in parts)
    >>> model = PreRec(training=TrainConfig(epochs=1), device="cpu").fit([source])
    >>> posterior = Posterior("laplace", shop.name, {"D": torch.randn(1, 50, 256)})  # or model.posterior(shop)
    >>> PosteriorMeanPreRec(model, posterior).recommend(shop, k=3).shape == (3 * shop.num_users, 4)
    True
    """

    def __init__(self, model: PreRec | CalibratedPreRec, posterior: Posterior) -> None:
        super().__init__(model)
        self.posterior = posterior
        kept = {"S"} if isinstance(model, CalibratedPreRec) else set()
        self._nodes = {site: value for site, value in posterior.mean().items() if site not in kept}
        if not self._nodes:
            raise InputError(
                f"the posterior of domain {posterior.domain!r} is of {', '.join(posterior.draws) or 'no latent'}, and "
                f"{model.name} has that already; infer one of D"
            )

    @property
    def name(self) -> str:
        """Name of the model, with ``"_informed"`` added."""
        return f"{self.model.name}_informed"

    def scorer(
        self,
        encoded: EncodedDomain,
        do: Mapping[str, Value] | None = None,
        semantics: Semantics = "interventional",
    ) -> InterventionalScorer:
        """Return the model's scorer at the posterior mean.

        Raises
        ------
        InputError
            If the posterior belongs to another domain, or to a model with other shapes.
        """
        if self.posterior.domain != encoded.name:
            raise InputError(
                f"the posterior is of domain {self.posterior.domain!r}, not of {encoded.name!r}; give that one's"
            )
        return self.model.scorer(encoded, do, semantics).given(self._nodes)

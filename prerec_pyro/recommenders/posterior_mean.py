"""Serving a domain at what its log says of it: `PreRec` with D and S at the mean of their posterior."""

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

    Zero-shot integrates D out; a store that has a log has a posterior of D. All networks and items stay as they are.

    Parameters
    ----------
    model
        A trained `PreRec`, or `CalibratedPreRec`, whose S, which follows the log through time, is then kept.
    posterior
        Of the domain, as ``model.posterior(domain)`` returns it; in an evaluation of users that are not measured.

    Raises
    ------
    InputError
        If the posterior is of nothing that would then be served.
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
        """That of the model, and ``"_informed"``."""
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
            If the posterior is of another domain, or of a model of another shape.
        """
        if self.posterior.domain != encoded.name:
            raise InputError(
                f"the posterior is of domain {self.posterior.domain!r}, not of {encoded.name!r}; give that one's"
            )
        return self.model.scorer(encoded, do, semantics).given(self._nodes)

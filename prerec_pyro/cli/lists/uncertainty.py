"""``infer --uncertainty``: lists with the probability of each item to be among the best."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
    from prerec_pyro.recommenders.registry import Model

COLUMNS = ("p_top_k", "confidence")


def recommend_with_uncertainty(
    trained: Model | CalibratedPreRec | PosteriorMeanPreRec,
    path: Path,
    encoded: EncodedDomain,
    posterior: Path | None,
    num_draws: int,
) -> Callable[..., pd.DataFrame]:
    """Return a function with the parameters of ``trained.recommend`` that adds `COLUMNS` to the lists.

    Parameters
    ----------
    trained
        Trained model.
    path
        Model folder, for messages.
    encoded
        Domain to recommend in.
    posterior
        File with the posterior of D and S; None takes their prior, in a new domain.
    num_draws
        Number of draws of D and S.

    Raises
    ------
    InputError
        If the model has no D and no S, or there are no draws of them for this domain.
    """
    from prerec_pyro.causal.uncertainty import domain_draws, uncertain_lists
    from prerec_pyro.recommenders.text_baseline import TextBaseline

    if isinstance(trained, TextBaseline) or "D" not in trained.graph.edges:
        raise InputError(f"--uncertainty: {path} is a model of {trained.name}, which has no D and no S; leave it out")
    if posterior is not None:
        draws = posterior_draws(posterior, encoded.name, num_draws)
    else:
        try:
            draws = domain_draws(trained, encoded, num_draws=num_draws)
        except InputError:
            raise InputError(
                f"--uncertainty: {path} was trained on domain {encoded.name!r}, so this needs the posterior of D and "
                "S; write it with `prerec-pyro diagnose` and give it by --posterior"
            ) from None
    return partial(uncertain_lists, trained, draws=draws)


def posterior_draws(path: Path, domain: str, num_draws: int) -> dict[str, Tensor]:
    """Return draws of a saved posterior, node → ``(num_draws, …)``.

    Parameters
    ----------
    path
        File written by `diagnose`.
    domain
        Name of the domain that the posterior must belong to.
    num_draws
        Most draws to return.

    Raises
    ------
    InputError
        If the file cannot be read, belongs to another domain, or holds a point without draws.
    """
    from prerec_pyro.inference.posterior.result import Posterior

    posterior = Posterior.load(path)
    if posterior.domain != domain:
        raise InputError(
            f"--posterior {path}: is of domain {posterior.domain!r}, not of {domain!r}; give a posterior of {domain!r}"
        )
    if posterior.is_point:
        raise InputError(
            f"--posterior {path}: is a point estimate without uncertainty; write one with `prerec-pyro diagnose` by a "
            "method other than delta"
        )
    return posterior.thinned(num_draws)

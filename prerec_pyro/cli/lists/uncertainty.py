"""The part of ``infer`` that says how sure a list is."""

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
    from prerec_pyro.recommenders.registry import Model

COLUMNS = ("p_top_k", "confidence")


def asker(
    trained: Model | CalibratedPreRec, path: Path, encoded: EncodedDomain, posterior: Path | None, num_draws: int
) -> Callable[..., pd.DataFrame]:
    """Return what is asked in place of ``trained.recommend``: lists with `COLUMNS`.

    Raises
    ------
    InputError
        If the model has nothing to be unsure of, or the posterior is another domain's or another model's.
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
                f"--uncertainty: {path} was trained on domain {encoded.name!r}, so what it does not know is the "
                "posterior of D and S; write one with `diagnose` and give it by --posterior"
            ) from None
    return partial(uncertain_lists, trained, draws=draws)


def posterior_draws(path: Path, domain: str, num_draws: int) -> dict[str, Tensor]:
    """Return draws of a saved posterior.

    Raises
    ------
    InputError
        If it cannot be read, is of another domain, or is a point.
    """
    from prerec_pyro.inference.posterior.result import Posterior

    found = Posterior.load(path)
    if found.domain != domain:
        raise InputError(f"--posterior {path}: is of domain {found.domain!r}, not of {domain!r}; give the one of that")
    if found.is_point:
        raise InputError(
            f"--posterior {path}: is a point, it does not say how sure it is; give one of another method than delta"
        )
    return found.thinned(num_draws)

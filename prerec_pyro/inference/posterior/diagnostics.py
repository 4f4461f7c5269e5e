"""Statistics of draws by ArviZ: convergence, Pareto k-hat, BFMI, leave-one-out; for both of its version lines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from prerec_pyro.inference.posterior.arviz_io import ArvizData, arviz, is_new, to_arviz

if TYPE_CHECKING:
    import pandas as pd


def convergence(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``r_hat``, ``ess_bulk`` and ``ess_tail``, ``(num_numbers,)`` each.

    Parameters
    ----------
    values
        Draws, ``(num_chains, num_draws, num_numbers)``. A number that never moves has no R-hat: NaN.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(0).normal(size=(4, 200, 1))
    >>> bool(convergence(draws)["r_hat"][0] < 1.02)
    True
    >>> draws[0] += 3  # one chain is elsewhere
    >>> bool(convergence(draws)["r_hat"][0] > 1.2)
    True
    """
    library = arviz()
    data = to_arviz({"posterior": {"x": values}}, dims={}, coords={}, attrs={})
    with np.errstate(invalid="ignore", divide="ignore"):
        r_hat = library.rhat(data)["x"].values
    return {
        "r_hat": r_hat,
        "ess_bulk": library.ess(data, method="bulk")["x"].values,
        "ess_tail": library.ess(data, method="tail")["x"].values,
    }


def bfmi(energy: np.ndarray) -> np.ndarray:
    """Return the Bayesian fraction of missing information of each chain, ``(num_chains,)``.

    Parameters
    ----------
    energy
        ``(num_chains, num_draws)`` energies that NUTS accepted.

    Examples
    --------
    >>> import numpy as np
    >>> steps = np.random.default_rng(0).normal(size=(1, 500))
    >>> bool(bfmi(steps)[0] > 1.5)
    True
    >>> bool(bfmi(steps.cumsum(axis=1))[0] < 0.1)  # energy that changes slowly
    True
    """
    groups = {"posterior": {"x": energy}, "sample_stats": {"energy": energy}}
    result = arviz().bfmi(to_arviz(groups, dims={}, coords={}, attrs={}))
    return np.asarray(result if isinstance(result, np.ndarray) else result["energy"].values)


def k_hat(log_ratios: np.ndarray) -> float:
    """Return the Pareto shape of importance ratios p/q; below 0.7, weights can correct the approximation.

    Parameters
    ----------
    log_ratios
        ``(num_draws,)`` log p - log q of draws from q, up to a constant.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=2000)
    >>> k_hat(np.zeros(2000))  # q is p
    -inf
    >>> narrow = 0.4 * x  # q = Normal(0, 0.4) for p = Normal(0, 1)
    >>> k_hat(-0.5 * narrow**2 + 0.5 * x**2) > 0.5
    True
    """
    if np.ptp(log_ratios) < 1e-9:
        return float("-inf")
    library = arviz()
    if is_new(library):
        from arviz_stats.base import array_stats

        return float(array_stats.psislw(-log_ratios)[1])  # 1.x expects log-likelihoods and negates them
    return float(library.psislw(log_ratios)[1])


def leave_one_out(data: ArvizData) -> dict[str, float]:
    """Return PSIS-LOO of `Posterior.to_arviz`: ``elpd`` and ``se`` in nats, ``p``, and the share of bad k-hats.

    ``p`` is the effective number of parameters. A point has none, so its elpd is its log-likelihood.

    Examples
    --------
    >>> import torch
    >>> from prerec_pyro.inference.posterior.result import Posterior
    >>> observed, log_likelihood = torch.tensor([0, 1]), torch.tensor([[[-1.0, -2.0]]])
    >>> point = Posterior(
    ...     "delta", "shop", {"S": torch.zeros(1, 1, 4)}, log_likelihood=log_likelihood, observed=observed
    ... )
    >>> found = leave_one_out(point.to_arviz())
    >>> round(found["elpd"], 3), found["p"]
    (-3.0, 0.0)
    """
    loo, is_point = _loo(data), _is_point(data["log_likelihood"]["R"].values)
    return {
        "elpd": float(loo.elpd if is_new(arviz()) else loo.elpd_loo),
        "se": float(loo.se),
        "p": 0.0 if is_point else float(loo.p if is_new(arviz()) else loo.p_loo),
        "bad_k": 0.0 if is_point else float((np.asarray(loo.pareto_k) > 0.7).mean()),
    }


def compare(models: Mapping[str, ArvizData]) -> pd.DataFrame:
    """Return ArviZ's table that compares models by leave-one-out, best first; all have the same queries.

    Parameters
    ----------
    models
        Name → `Posterior.to_arviz`.
    """
    results = {name: _loo(data) for name, data in models.items()}
    with warnings.catch_warnings():
        # Bad k-hats are counted by `leave_one_out`; ArviZ's use of pandas warns too.
        warnings.simplefilter("ignore")
        return arviz().compare(results)


def _loo(data: ArvizData) -> Any:
    values = data["log_likelihood"]["R"].values  # (num_chains, num_draws, num_queries)
    if _is_point(values):
        # ArviZ expects several draws, and 1.x expects that they differ.
        values = values + 1e-6 * np.random.default_rng(0).normal(size=(1, 100, values.shape[-1]))
    groups = {"posterior": {"none": values[..., 0]}, "log_likelihood": {"R": values}}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # bad k-hats are counted instead
        return arviz().loo(to_arviz(groups, dims={}, coords={}, attrs={}), pointwise=True, var_name="R")


def _is_point(values: np.ndarray) -> bool:
    """Return whether log-likelihoods ``(num_chains, num_draws, num_queries)`` hold a single draw."""
    return bool(values[..., :1].size == 1)

"""ArviZ's statistics of arrays of draws, by either of its lines: convergence, k-hat, BFMI, leave-one-out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from prerec_pyro.inference.posterior.arviz_io import arviz, is_new, to_arviz


def convergence(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``r_hat``, ``ess_bulk`` and ``ess_tail``, each ``(num_numbers,)``.

    Parameters
    ----------
    values
        ``(num_chains, num_draws, num_numbers)``.
    """
    library = arviz()
    data = to_arviz({"posterior": {"x": values}}, dims={}, coords={}, attrs={})
    with np.errstate(invalid="ignore", divide="ignore"):  # a number that never moves has no R-hat: NaN
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
    """
    groups = {"posterior": {"x": energy}, "sample_stats": {"energy": energy}}
    found = arviz().bfmi(to_arviz(groups, dims={}, coords={}, attrs={}))
    return np.asarray(found if isinstance(found, np.ndarray) else found["energy"].values)


def k_hat(log_ratios: np.ndarray) -> float:
    """Return the Pareto shape of importance ratios p/q: below 0.7 the approximation can be corrected by weights.

    Parameters
    ----------
    log_ratios
        ``(num_draws,)`` log p - log q, up to a constant, of draws from q.
    """
    if np.ptp(log_ratios) < 1e-9:
        return float("-inf")  # p is q
    library = arviz()
    if is_new(library):
        from arviz_stats.base import array_stats

        return float(array_stats.psislw(-log_ratios)[1])  # 1.x takes log-likelihoods, and turns them round
    return float(library.psislw(log_ratios)[1])


def leave_one_out(data: Any) -> dict[str, float]:
    """Return PSIS-LOO of `Posterior.to_arviz`: ``elpd`` in nats, its ``se``, ``p`` and the share of bad k-hats.

    ``p`` is the effective number of parameters. A point has no parameters to count: its elpd is its log-likelihood.
    """
    found, is_point = _loo(data), data["log_likelihood"]["R"].values[..., :1].size == 1
    return {
        "elpd": float(found.elpd if is_new(arviz()) else found.elpd_loo),
        "se": float(found.se),
        "p": 0.0 if is_point else float(found.p if is_new(arviz()) else found.p_loo),
        "bad_k": 0.0 if is_point else float((np.asarray(found.pareto_k) > 0.7).mean()),
    }


def compare(models: Mapping[str, Any]) -> Any:
    """Return ArviZ's table of models by leave-one-out, best first; all have the same queries.

    Parameters
    ----------
    models
        Name → `Posterior.to_arviz`.
    """
    found = {name: _loo(data) for name, data in models.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bad k-hats, which `leave_one_out` counts, and of how ArviZ uses pandas
        return arviz().compare(found)


def _loo(data: Any) -> Any:
    values = data["log_likelihood"]["R"].values  # (num_chains, num_draws, num_queries)
    if values[..., :1].size == 1:
        # The draws of a point are all the same; ArviZ wants some, and 1.x that they differ.
        values = values + 1e-6 * np.random.default_rng(0).normal(size=(1, 100, values.shape[-1]))
    groups = {"posterior": {"none": values[..., 0]}, "log_likelihood": {"R": values}}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # bad k-hats are counted, not warned of
        return arviz().loo(to_arviz(groups, dims={}, coords={}, attrs={}), pointwise=True, var_name="R")

"""Drift report: D and S re-estimated on a later part of a log, compared with their state before.

*With a posterior* of mean m and covariance C: let g be the gradient of the later log-likelihood at m, and H its
negative Hessian. One Newton step moves the estimate by ``δ = H⁻¹g``. If nothing has changed, the covariance of δ is
``C + H⁻¹JH⁻¹``, where J is the covariance of g, estimated from groups of users because the queries of one user depend
on each other. The squared distance ``δᵀ(C + H⁻¹JH⁻¹)⁻¹δ = gᵀ(J + HCH)⁻¹g`` needs no inverse of H. It is compared with
Hotelling's T² for this number of groups.

*Without a posterior*, m is the posterior mode given the log before `since`, and g₀ is the gradient there, over n₀
queries with covariance J₀. With n later queries, ``g - (n/n₀) g₀`` has the covariance ``J + (n/n₀)² J₀``. This is the
same distance without H, and it does not rely on the model's own estimate of its uncertainty. The first days of the log,
before the popularity window is full, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.causal.drift.coordinates import Coordinates
from prerec_pyro.causal.drift.distance import Distance, hotelling_distance, sum_covariance
from prerec_pyro.causal.drift.log_slice import LogPart
from prerec_pyro.causal.protocol import CausalModel, require_nodes
from prerec_pyro.data.batching.histories import moment
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.result import Posterior

ALPHA = 0.01
NUM_DIRECTIONS = 4
MAX_QUERIES = 4000


@dataclass(frozen=True, eq=False)
class Drift:
    """Result of `drift_report`.

    Attributes
    ----------
    p_value
        Probability of a distance this large where nothing has changed.
    distance
        Mahalanobis distance between D and S before and since, in standard deviations of their difference.
    alpha
        Accepted rate of false alarms.
    table
        One row per coordinate: ``coordinate``; ``before`` and ``before_sd``, posterior mean and standard deviation;
        ``after`` and ``after_sd``, the new estimate and its standard error; ``z``, their difference in standard
        deviations. The coordinates are the effect scales, ``S match``, ``S popularity``, … in units of their spread,
        then ``D 1``, … along the directions in which the items differ most.
    facts
        Model, domain, time and sizes, plain JSON.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame([{"coordinate": "S match", "before": 0.1, "before_sd": 0.2, "z": -4.0}])
    >>> found = Drift(0.0004, 4.3, 0.01, table, {"domain": "shop", "since": "2024-02-01"})
    >>> found
    Drift(domain='shop', since='2024-02-01', drifted=True, p_value=0.0004, distance=4.30, largest='S match' z=-4.0)
    """

    p_value: float
    distance: float
    alpha: float
    table: pd.DataFrame
    facts: dict[str, Any]

    def __repr__(self) -> str:
        largest = self._largest()
        return (
            f"Drift(domain={self.facts['domain']!r}, since={self.facts['since']!r}, drifted={self.drifted}, "
            f"p_value={self.p_value:.2g}, distance={self.distance:.2f}, "
            f"largest={largest['coordinate']!r} z={largest['z']:+.1f})"
        )

    @property
    def drifted(self) -> bool:
        """Whether the p-value is below alpha: an alarm."""
        return self.p_value < self.alpha

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "drifted": self.drifted,
            "p_value": self.p_value,
            "distance": self.distance,
            "alpha": self.alpha,
            "coordinates": self.table.to_dict("records"),
            "facts": self.facts,
        }

    def sentence(self) -> str:
        """Return the finding as text."""
        finding = "has drifted" if self.drifted else "is not shown to have drifted"
        largest = self._largest()
        return (
            f"{self.facts['domain']} {finding} since {self.facts['since']}: distance {self.distance:.2f}, "
            f"p = {self.p_value:.2g} (alarm below {self.alpha:g}), on {self.facts['num_queries']:,} queries of "
            f"{self.facts['num_users']:,} users. Largest change: {largest['coordinate']}, {largest['before']:+.3f} "
            f"before, {largest['after']:+.3f} since ({largest['z']:+.1f} standard deviations)."
        )

    def to_markdown(self) -> str:
        """Return the finding and the table as Markdown."""
        lines = ["| coordinate | before | since | z |", "| --- | ---: | ---: | ---: |"]
        for row in self.table.to_dict("records"):
            before, after = (f"{row[name]:+.3f} ± {row[f'{name}_sd']:.3f}" for name in ("before", "after"))
            lines.append(f"| {row['coordinate']} | {before} | {after} | {row['z']:+.1f} |")
        table = "\n".join(lines)
        return f"# Drift: {self.facts['domain']}\n\n{self.sentence()}\n\n± is one standard deviation.\n\n{table}\n"

    def _largest(self) -> pd.Series:
        return self.table.loc[self.table["z"].abs().idxmax()]


def drift_report(
    model: CausalModel,
    domain: Domain | EncodedDomain,
    since: str | int,
    posterior: Posterior | None = None,
    *,
    alpha: float = ALPHA,
    directions: int = NUM_DIRECTIONS,
    max_queries: int = MAX_QUERIES,
    seed: int = 0,
) -> Drift:
    """Return whether D and S of a domain have changed, with all networks frozen; see the module for the statistic.

    Parameters
    ----------
    model
        A trained `PreRec`.
    domain
        Domain with its whole log.
    since
        Start of the later part: an ISO time or seconds since 1970.
    posterior
        Posterior of the domain's D and S given its log before `since`. None estimates them from that log.
    alpha
        Accepted rate of false alarms.
    directions
        Number of directions of D; see `Coordinates`.
    max_queries
        Bound on the queries of each part. Whole users are drawn at random until they give this many.
    seed
        Seed of the drawn users and of their groups.

    Raises
    ------
    InputError
        If the model has no S or a coordinate has no effect in it, the posterior is a point or belongs to another
        domain, or a part of the log is too small.

    Examples
    --------
    The prior is what is known given an empty log; here it plays the part of the posterior.

    >>> from prerec_pyro import ExtendedConfig, PreRec, TrainConfig, simulate
    >>> from prerec_pyro.causal import domain_draws
    >>> from prerec_pyro.data.times import SECONDS_PER_DAY
    >>> shops = simulate(2, num_items=20, num_users=120, num_days=20)
    >>> source, shop = (one.domain.with_embeddings(one.truth.item_mean) for one in shops)
    >>> shape = ExtendedConfig(num_interests=1, popularity_windows=False)  # four effect scales, for a small log
    >>> model = PreRec(shape, training=TrainConfig(epochs=1), device="cpu").fit([source])
    >>> draws = {site: values[None] for site, values in domain_draws(model, shop).items()}  # one chain
    >>> since = int(shop.timestamps.min()) + 7 * SECONDS_PER_DAY
    >>> known = Posterior("normal", shop.name, draws)
    >>> found = drift_report(model, shop, since, known, directions=0, max_queries=100)
    >>> len(found.table), 0 <= found.p_value <= 1
    (4, True)
    """
    require_nodes(model, "DS", "drift")
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}, expected a probability such as 0.01")
    encoded = model.scorer(model.encoded(domain)).encoded  # with the texts whitened for this model
    start, rng = moment(encoded, since), np.random.default_rng(seed)
    later = LogPart.draw(encoded.domain, start, None, max_queries, rng)
    coordinates = Coordinates.around_model(model, encoded, directions)
    groups = later.groups(len(coordinates.unit))
    if posterior is not None:
        before = _from_posterior(posterior, coordinates, later)
    else:
        earlier = LogPart.draw(encoded.domain, _window_filled(encoded, start), start, max_queries, rng)
        before = _from_log(earlier, coordinates, later)
    gradients = before.coordinates.group_gradients(later.windows, groups)
    _check_gradients(gradients, coordinates.names)
    found = hotelling_distance(gradients, before.offset, before.offset_covariance)
    facts = {
        "model": model.name,
        "domain": encoded.name,
        "since": str(since),
        "num_queries": later.num_queries,
        "num_users": len(later.windows),
        "num_groups": len(groups),
        "posterior": "estimated on the log before" if posterior is None else posterior.method,
        "directions": directions,
    }
    return Drift(found.p_value, found.squared**0.5, alpha, _table(before, found), facts)


@dataclass(frozen=True, eq=False)
class _Before:
    """State of D and S before the later part of the log.

    Attributes
    ----------
    coordinates
        Coordinates around the estimate before.
    covariance
        ``(size, size)`` covariance of this estimate.
    hessian
        ``(size, size)`` negative Hessian of the later log-likelihood at this estimate.
    offset, offset_covariance
        Expected later gradient where nothing has changed, ``(size,)``, and its covariance, ``(size, size)``.
    """

    coordinates: Coordinates
    covariance: Tensor
    hessian: Tensor
    offset: Tensor
    offset_covariance: Tensor


def _from_posterior(posterior: Posterior, around: Coordinates, later: LogPart) -> _Before:
    """Return the state before from a posterior, around its mean."""
    _check_posterior(posterior, around.encoded)
    draws = around.project(*(posterior.draws[site].flatten(0, 1) for site in "SD"))
    mean = posterior.mean()
    values = {site: mean[site].to(value).expand_as(value) for site, value in around.values.items()}
    coordinates, covariance = replace(around, values=values), torch.cov(draws.mT)
    hessian = coordinates.hessian(later.windows)
    return _Before(coordinates, covariance, hessian, torch.zeros_like(around.unit), hessian @ covariance @ hessian)


def _from_log(earlier: LogPart, around: Coordinates, later: LogPart) -> _Before:
    """Return the state before from the log, around the posterior mode of its earlier part."""
    groups = earlier.groups(len(around.unit))
    coordinates = around.at_mode(earlier.windows)
    hessian, gradients = coordinates.hessian(later.windows), coordinates.group_gradients(earlier.windows, groups)
    ratio = later.num_queries / earlier.num_queries
    offset_covariance = ratio**2 * sum_covariance(gradients)
    inverse = torch.linalg.inv(hessian / ratio + torch.diag(coordinates.unit**-2))
    covariance = inverse @ (offset_covariance / ratio**2) @ inverse
    return _Before(coordinates, covariance, hessian, ratio * gradients.sum(0), offset_covariance)


def _window_filled(encoded: EncodedDomain, start: int) -> int | None:
    """Return the time at which the log's popularity window is full, or None if that is not before `start`."""
    popularity = encoded.popularity
    filled = (popularity.first_day + popularity.window) * SECONDS_PER_DAY
    return filled if filled < start else None


def _check_posterior(posterior: Posterior, encoded: EncodedDomain) -> None:
    if posterior.domain != encoded.name:
        raise InputError(
            f"the posterior is of domain {posterior.domain!r}, not of {encoded.name!r}; give the right one"
        )
    if posterior.is_point:
        raise InputError("the posterior is a point and holds no uncertainty; give one of a method other than delta")
    if missing := {"D", "S"} - set(posterior.draws):
        raise InputError(f"the posterior holds no draws of {', '.join(sorted(missing))}; infer it with all latents")


def _check_gradients(gradients: Tensor, names: list[str]) -> None:
    """Raise `InputError` if a coordinate changes nothing, as S popularity does where W_z is still at its start, 0."""
    flat = [name for name, column in zip(names, gradients.mT, strict=True) if not column.any()]
    if flat:
        raise InputError(
            f"drift: {', '.join(flat)} has no effect on the choices in this model, so its drift cannot be measured; "
            "train the model longer, or choose another one"
        )


def _table(before: _Before, found: Distance) -> pd.DataFrame:
    """Return the coordinates before and since; the prior shrinks the step since where the log says little."""
    coordinates = before.coordinates
    inverse = torch.linalg.inv(before.hessian + torch.diag(coordinates.unit**-2))
    step, error = inverse @ found.gradient, (inverse @ found.covariance @ inverse).diagonal().sqrt()
    spread = before.covariance.diagonal().sqrt()
    columns = {
        "before": coordinates.center,
        "before_sd": spread,
        "after": coordinates.center + step,
        "after_sd": error,
        "z": step / (spread**2 + error**2).sqrt(),
    }
    names = {"coordinate": coordinates.names}
    return pd.DataFrame(names | {name: value.tolist() for name, value in columns.items()})

"""Has a domain drifted? D and S re-estimated on a later part of its log, against what was known of them before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from prerec_pyro.causal.drift import log_slice
from prerec_pyro.causal.drift.coordinates import Coordinates
from prerec_pyro.causal.protocol import CausalModel, require_nodes
from prerec_pyro.data.batching.histories import moment
from prerec_pyro.data.batching.windows import Windows
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.result import Posterior

ALPHA = 0.01
NUM_GROUPS = 64
NUM_DIRECTIONS = 4
MAX_QUERIES = 4000


@dataclass(frozen=True, eq=False)
class Drift:
    """What `drift` found.

    Attributes
    ----------
    p_value
        Probability of so large a distance where nothing has changed.
    distance
        Mahalanobis distance between D and S as they were known and as they are re-estimated, in the standard
        deviations of their difference.
    alpha
        False alarms that are put up with.
    table
        A row a coordinate: ``coordinate``; ``before`` and ``before_sd``, posterior mean and standard deviation;
        ``after`` and ``after_sd``, re-estimated and its standard error; ``z``, their difference in standard
        deviations. Coordinates: ``S match``, ``S popularity``, ``S repeat``, ``S background``, in units of their
        spread; ``D 1``, … along the directions in which the items differ most.
    facts
        Plain JSON.
    """

    p_value: float
    distance: float
    alpha: float
    table: pd.DataFrame
    facts: dict[str, Any]

    @property
    def drifted(self) -> bool:
        """Whether it is an alarm."""
        return self.p_value < self.alpha

    def to_json(self) -> dict[str, Any]:
        """Return everything, plain JSON."""
        return {
            "drifted": self.drifted,
            "p_value": self.p_value,
            "distance": self.distance,
            "alpha": self.alpha,
            "coordinates": self.table.to_dict("records"),
            "facts": self.facts,
        }

    def sentence(self) -> str:
        """Return the verdict in words."""
        verdict = "has drifted" if self.drifted else "is not shown to have drifted"
        worst = self.table.loc[self.table["z"].abs().idxmax()]
        return (
            f"{self.facts['domain']} {verdict} since {self.facts['since']}: distance {self.distance:.2f}, "
            f"p = {self.p_value:.2g} (alarm below {self.alpha:g}), on {self.facts['num_queries']:,} queries of "
            f"{self.facts['num_users']:,} users. Furthest: {worst['coordinate']}, {worst['before']:+.3f} before, "
            f"{worst['after']:+.3f} since ({worst['z']:+.1f} standard deviations)."
        )

    def to_markdown(self) -> str:
        """Return the verdict and the table in Markdown."""
        lines = ["| coordinate | before | since | z |", "| --- | ---: | ---: | ---: |"]
        for one in self.table.to_dict("records"):
            known = f"{one['before']:+.3f} ± {one['before_sd']:.3f} | {one['after']:+.3f} ± {one['after_sd']:.3f}"
            lines.append(f"| {one['coordinate']} | {known} | {one['z']:+.1f} |")
        table = "\n".join(lines)
        return f"# Drift: {self.facts['domain']}\n\n{self.sentence()}\n\n± is one standard deviation.\n\n{table}\n"


def drift(
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
    """Return whether D and S of a domain have changed, all networks frozen.

    Against a posterior with mean m and covariance C: let g be the gradient of the later log-likelihood at m, H its
    negative Hessian. One Newton step moves the estimate by ``δ = H⁻¹g``, whose covariance, if nothing has changed, is
    ``C + H⁻¹JH⁻¹``; J is the covariance of g, estimated from groups of users, since the queries of one user depend on
    each other. The squared distance ``δᵀ(C + H⁻¹JH⁻¹)⁻¹δ = gᵀ(J + HCH)⁻¹g`` needs no inverse of H, and is compared
    with Hotelling's T² of as many groups.

    Without one, m is the mode given the log before, and its gradient g₀ there, over n₀ queries with covariance J₀,
    stands for what was known: with n later queries ``g - (n/n₀) g₀`` has covariance ``J + (n/n₀)² J₀``. That is the
    same distance without H, and it does not trust the model's own idea of how sure it is. The first days of the log,
    whose popularity window is still filling, are left out.

    Parameters
    ----------
    model
        A trained `PreRec`.
    domain
        Its whole log.
    since
        ISO time or seconds since 1970: the later part starts here.
    posterior
        Of the domain's D and S, given its log before then. None estimates them now, on the log before `since`.
    alpha
        False alarms that are put up with.
    directions
        Of D, along which it is re-estimated: see `Coordinates`.
    max_queries
        Of each part, by whole users, drawn at random.
    seed
        Of that, and of the groups.

    Raises
    ------
    InputError
        If the model has no S, the posterior is another domain's or a point, or either part of the log is too small.
    """
    require_nodes(model, "DS", "drift")
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}, expected a probability such as 0.01")
    encoded = model.scorer(model.encoded(domain)).encoded  # its texts whitened as the model wants them
    start, rng = moment(encoded, since), np.random.default_rng(seed)
    later = _Part.of(encoded, start, None, max_queries, rng)
    place = Coordinates.of(model, encoded, directions)
    groups = later.groups(place)
    if posterior is not None:
        known, covariance = _known(_checked(posterior, encoded), place)
        hessian = known.hessian(later.windows)
        pull, blur = 0.0, hessian @ covariance @ hessian
    else:
        earlier = _Part.of(encoded, _settled(encoded, start), start, max_queries, rng)
        earlier_groups = earlier.groups(place)
        known = place.at_mode(earlier.windows)
        hessian, gradients = known.hessian(later.windows), known.grouped(earlier.windows, earlier_groups)
        ratio = later.num_queries / earlier.num_queries
        pull, blur = ratio * gradients.sum(0), ratio**2 * _noise(gradients)
        inverse = torch.linalg.inv(hessian / ratio + torch.diag(known.unit**-2))
        covariance = inverse @ (blur / ratio**2) @ inverse
    found = _distance(known.grouped(later.windows, groups), pull, blur)
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
    return Drift(found.p_value, found.squared**0.5, alpha, _table(known, found, hessian, covariance), facts)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some of the queries of one part of a log, a window a user."""

    encoded: EncodedDomain
    windows: Windows

    @classmethod
    def of(
        cls, encoded: EncodedDomain, start: int | None, end: int | None, max_queries: int, rng: np.random.Generator
    ) -> _Part:
        windows = log_slice.between(encoded.domain, start, end)
        return cls(encoded, windows[log_slice.sampled(windows, max_queries, rng)])

    def groups(self, coordinates: Coordinates) -> list[np.ndarray]:
        """Return rows of users, who are in random order, in equal groups, enough of them to tell a covariance."""
        least = 4 * len(coordinates.unit)
        if len(self.windows) < least:
            raise InputError(
                f"drift: {len(self.windows)} users have an event to predict in one part of the log, expected {least} "
                "or more; move the moment, or take fewer directions"
            )
        return np.array_split(np.arange(len(self.windows)), min(NUM_GROUPS, len(self.windows)))

    @property
    def num_queries(self) -> int:
        return int(self.windows.num_queries.sum())


def _settled(encoded: EncodedDomain, start: int) -> int | None:
    """Return when the log's popularity window has filled, or None where that leaves nothing before `start`."""
    popularity = encoded.popularity
    filled = (popularity.first_day + popularity.window) * SECONDS_PER_DAY
    return filled if filled < start else None


def _known(posterior: Posterior, coordinates: Coordinates) -> tuple[Coordinates, Tensor]:
    """Return the coordinates around the posterior mean, and the posterior covariance."""
    draws = coordinates.along(*(posterior.draws[site].flatten(0, 1) for site in "SD"))
    mean = posterior.mean()
    values = {site: mean[site].to(value).expand_as(value) for site, value in coordinates.values.items()}
    return replace(coordinates, values=values), torch.cov(draws.mT)


def _checked(posterior: Posterior, encoded: EncodedDomain) -> Posterior:
    if posterior.domain != encoded.name:
        raise InputError(f"the posterior is of domain {posterior.domain!r}, not of {encoded.name!r}; give that one's")
    if posterior.is_point:
        raise InputError("the posterior is a point, which says nothing of how sure it is; give one that is no delta")
    if missing := {"D", "S"} - set(posterior.draws):
        raise InputError(f"the posterior holds no draws of {', '.join(sorted(missing))}; infer it with all latents")
    return posterior


@dataclass(frozen=True, eq=False)
class _Distance:
    """The squared distance, its p-value, and the gradient that it measures with that one's noise."""

    squared: float
    p_value: float
    gradient: Tensor
    noise: Tensor


def _distance(gradients: Tensor, pull: Tensor | float, blur: Tensor) -> _Distance:
    """Return how far a gradient is from what chance allows.

    Parameters
    ----------
    gradients
        ``(num_groups, size)`` of the later log-likelihood, by groups of users.
    pull, blur
        Its mean and covariance, ``(size,)`` and ``(size, size)``, that come of where it is taken.
    """
    number, size = gradients.shape
    total, noise = gradients.sum(0) - pull, _noise(gradients)
    squared = float(total @ torch.linalg.solve(noise + blur, total))
    ratio = squared * (number - size) / (size * (number - 1))  # Hotelling's T² as an F
    return _Distance(squared, float(stats.f.sf(ratio, size, number - size)), total, noise)


def _noise(gradients: Tensor) -> Tensor:
    """Return the covariance of the sum of ``(num_groups, size)`` gradients of groups that are alike."""
    apart = gradients - gradients.mean(0)
    return apart.mT @ apart * (len(gradients) / (len(gradients) - 1))


def _table(known: Coordinates, found: _Distance, hessian: Tensor, covariance: Tensor) -> pd.DataFrame:
    """Return the coordinates before and since; the step since is held back by the prior where little is known."""
    inverse = torch.linalg.inv(hessian + torch.diag(known.unit**-2))
    step, error = inverse @ found.gradient, (inverse @ found.noise @ inverse).diagonal().sqrt()
    spread = covariance.diagonal().sqrt()
    columns = {
        "before": known.center,
        "before_sd": spread,
        "after": known.center + step,
        "after_sd": error,
        "z": step / (spread**2 + error**2).sqrt(),
    }
    return pd.DataFrame({"coordinate": known.names, **{name: value.tolist() for name, value in columns.items()}})

"""What is known of one domain's D, S and lifted weights once its log is read: draws, and what ArviZ asks of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior import arviz_io, diagnostics

if TYPE_CHECKING:
    import pandas as pd

Method = Literal["delta", "laplace", "normal", "low_rank", "nuts"]
METHODS: tuple[Method, ...] = get_args(Method)
EFFECT_SCALES = ("match", "popularity", "repeats", "wandering")
"""Coordinates of S, in its order: e-folds of U·V, of Z·W_z and of the prior of ρ, nats of w_o."""
_DIMS = {
    "D": ("domain", "latent"),
    "S": ("domain", "strength"),
    "W_d": ("latent",),
    "W_z": ("latent",),
    "R": ("query",),
    "times_chosen": ("item",),
}
_OF_DOMAIN = ("D", "S")
INTERVAL = 0.9


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws from the posterior of one domain's low-dimensional latents, the networks at their MAP.

    Attributes
    ----------
    method
        Which approximation the draws come from. ``"delta"`` is a point: one chain of one draw.
    domain
        Name of the domain.
    draws
        Site → ``(num_chains, num_draws, …)`` float32: ``D`` (…, latent_dim) and ``S`` (…, 4), those of the domain;
        where they are lifted, ``W_z`` and ``W_d`` (…, latent_dim). All in the units of the graph's sites: D in latent
        units, S in units of the graph's ``spread``; each is a value that ``do`` takes for its node. Draw i of one site
        belongs to draw i of the others.
    prior
        The same of the prior, ``(1, num_prior_draws, …)``.
    log_likelihood
        ``(num_chains, num_draws, num_queries)``: log P(R) of each query that the density is evaluated on, in nats,
        each counted once.
    replicated
        ``(num_chains, num_draws, num_queries)`` int64: for each of these queries an item drawn from P(R), the posterior
        predictive distribution.
    observed
        ``(num_queries,)`` int64: the item that was chosen.
    events
        ``(num_queries,)`` int64: position in the domain's log of what each query predicts.
    statistics
        ``(num_chains, num_draws)`` of each draw: ``lp``, the log density that was sampled or approximated; ``log_q``,
        that of the approximation; of NUTS ``diverging`` and ``energy``.
    item_ids
        ``(num_items,)`` of the domain; `observed` and `replicated` count in it.
    facts
        Plain JSON: how many queries the posterior is given and is evaluated on, ELBOs of restarts, seeds.
    """

    method: Method
    domain: str
    draws: dict[str, Tensor]
    prior: dict[str, Tensor] = field(default_factory=dict)
    log_likelihood: Tensor | None = None
    replicated: Tensor | None = None
    observed: Tensor | None = None
    events: Tensor | None = None
    statistics: dict[str, Tensor] = field(default_factory=dict)
    item_ids: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method {self.method!r}: expected one of {', '.join(METHODS)}")
        leading = {tuple(value.shape[:2]) for value in self._drawn()}
        if len(leading) != 1:
            raise ValueError(f"expected (num_chains, num_draws, …) of every site, got {leading}")

    @property
    def num_chains(self) -> int:
        """Chains of NUTS; 1 of the others."""
        return self._drawn()[0].shape[0]

    @property
    def num_draws(self) -> int:
        """Draws of each chain."""
        return self._drawn()[0].shape[1]

    @property
    def is_point(self) -> bool:
        """Whether there is no spread to speak of: a MAP."""
        return self.method == "delta"

    def mean(self) -> dict[str, Tensor]:
        """Return the mean of each site over chains and draws: ``D`` (latent_dim,), ``S`` (4,), …"""
        return {site: value.mean(dim=(0, 1)) for site, value in self.draws.items()}

    def thinned(self, num_draws: int) -> dict[str, Tensor]:
        """Return at most so many draws of each site, ``(n, …)``, evenly spaced over the chains laid end to end."""
        total = self.num_chains * self.num_draws
        kept = torch.linspace(0, total - 1, min(num_draws, total)).round().long()
        return {site: value.flatten(0, 1)[kept] for site, value in self.draws.items()}

    def to_arviz(self) -> Any:
        """Return ``InferenceData`` (ArviZ 0.x) or ``DataTree`` (1.x).

        Groups posterior, sample_stats, log_likelihood, posterior_predictive, prior, observed_data and constant_data
        (how often each item was chosen); dimensions domain, latent, strength, query (the position in the log) and
        item.
        """
        latent = next((v.shape[-1] for site, v in self.draws.items() if site != "S"), 0)
        coords: dict[str, Any] = {"domain": [self.domain], "strength": list(EFFECT_SCALES), "latent": np.arange(latent)}
        none = {"none": np.zeros((self.num_chains, self.num_draws))}  # ArviZ wants a posterior, PreRec_n has no latent
        groups = {"posterior": self._sites(self.draws) or none, "prior": self._sites(self.prior)}
        groups["sample_stats"] = {name: value.numpy() for name, value in self.statistics.items()}
        if self.observed is not None and self.events is not None:
            coords["query"] = self.events.numpy()
            groups["observed_data"] = {"R": self.observed.numpy()}
            if self.item_ids is not None:
                coords["item"] = np.asarray(self.item_ids, dtype=str)
                times = np.bincount(self.observed.numpy(), minlength=len(self.item_ids))
                groups["constant_data"] = {"times_chosen": times}
        for group, value in (("log_likelihood", self.log_likelihood), ("posterior_predictive", self.replicated)):
            if value is not None:
                groups[group] = {"R": value.numpy()}
        attrs = {"method": self.method, "facts": json.dumps(self.facts, allow_nan=False)}
        return arviz_io.to_arviz(groups, dims=_DIMS, coords=coords, attrs=attrs)

    def save(self, path: str | Path) -> None:
        """Write `to_arviz` as netCDF, which ``arviz.from_netcdf`` opens; written beside and put in place when whole.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        arviz_io.write(self.to_arviz(), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Posterior:
        """Return what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing or holds no posterior of this package.
        """
        groups, coords, attrs = arviz_io.read(Path(path))
        if not {"method", "facts"} <= set(attrs) or "domain" not in coords:
            raise InputError(f"{path}: holds no posterior of prerec-pyro; write one with `diagnose` or Posterior.save")
        single = {group: _one(groups.get(group, {}), "R") for group in ("log_likelihood", "posterior_predictive")}
        observed = _one(groups.get("observed_data", {}), "R")
        return cls(
            method=str(attrs["method"]),
            domain=str(coords["domain"][0]),
            draws={site: value for site, value in _tensors(groups["posterior"]).items() if site != "none"},
            prior=_tensors(groups.get("prior", {})),
            log_likelihood=single["log_likelihood"],
            replicated=single["posterior_predictive"],
            observed=observed,
            events=None if observed is None else torch.from_numpy(coords["query"].astype(np.int64)),
            statistics={name: torch.from_numpy(value) for name, value in groups.get("sample_stats", {}).items()},
            item_ids=np.asarray(coords["item"], dtype=object) if "item" in coords else None,
            facts=json.loads(attrs["facts"]),
        )

    def summary(self) -> pd.DataFrame:
        """Return a row a number: ``mean`` and, of what has a spread, ``sd`` and the bounds of its 90 % interval.

        NUTS adds ``r_hat``, ``ess_bulk`` and ``ess_tail``. Rows are named ``S[popularity]``, ``D[17]``. Of a MAP
        nothing but its value is known: one column ``value``.
        """
        import pandas as pd

        names, values = self._flat()  # (num_chains, num_draws, num_numbers)
        if self.is_point:
            return pd.DataFrame({"value": values[0, 0]}, index=names)
        low, high = np.quantile(values, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=(0, 1))
        table = {"mean": values.mean((0, 1)), "sd": values.std((0, 1), ddof=1), "5%": low, "95%": high}
        if self.method == "nuts":
            table |= diagnostics.convergence(values)
        return pd.DataFrame(table, index=names)

    def plot(self, sites: tuple[str, ...] = ("S",)) -> Any:
        """Return ArviZ's forest plot of some sites, with 90 % intervals.

        Raises
        ------
        InputError
            If a site is not there, or the posterior is a point.
        """
        if self.is_point:
            raise InputError("a MAP is a point and has no interval to plot; take method='laplace', say")
        if missing := [site for site in sites if site not in self.draws]:
            raise InputError(f"plot: no site {missing[0]!r}; expected some of {', '.join(self.draws)}")
        return arviz_io.forest(self.to_arviz(), sites, INTERVAL)

    def _drawn(self) -> list[Tensor]:
        return [*self.draws.values(), *(v for v in (self.log_likelihood, self.replicated) if v is not None)]

    def _flat(self) -> tuple[list[str], np.ndarray]:
        """Return a name and the draws of every number, ``(num_chains, num_draws, num_numbers)``; S first."""
        names: list[str] = []
        order = sorted(self.draws, key=lambda site: (site != "S", site))
        for site in order:
            width = self.draws[site].shape[-1]
            names += [f"{site}[{EFFECT_SCALES[i] if site == 'S' else i}]" for i in range(width)]
        none = np.zeros((self.num_chains, self.num_draws, 0))
        return names, np.concatenate([none, *(self.draws[site].double().numpy() for site in order)], axis=-1)

    @staticmethod
    def _sites(values: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Give D and S their dimension of domains."""
        return {s: (v.unsqueeze(2) if s in _OF_DOMAIN else v).numpy() for s, v in values.items()}


def _one(group: Mapping[str, np.ndarray], name: str) -> Tensor | None:
    return torch.from_numpy(group[name]) if name in group else None


def _tensors(group: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {s: torch.from_numpy(v[:, :, 0] if s in _OF_DOMAIN else v) for s, v in group.items()}

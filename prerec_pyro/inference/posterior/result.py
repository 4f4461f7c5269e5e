"""Draws from the posterior of one domain's D, S and lifted weights, with their summaries, plots and files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior import arviz_io, diagnostics, display
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS

if TYPE_CHECKING:
    import pandas as pd

Method = Literal["delta", "laplace", "normal", "low_rank", "nuts"]
METHODS: tuple[Method, ...] = get_args(Method)
_DIMS = {
    "D": ("domain", "latent"),
    "S": ("domain", "effect"),
    "W_d": ("latent",),
    "W_z": ("latent",),
    "R": ("query",),
    "times_chosen": ("item",),
}
_DOMAIN_NODES = ("D", "S")
INTERVAL = 0.9
_MIN_DRAWS = 4  # fewer draws in a chain have no R-hat


def check_method(method: str) -> Method:
    """Return the method.

    Raises
    ------
    InputError
        If there is no such method.
    """
    for known in METHODS:
        if method == known:
            return known
    raise InputError(f"method {method!r}: expected one of {', '.join(METHODS)}")


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws from the posterior of one domain's low-dimensional latents, with the networks at their MAP.

    Attributes
    ----------
    method
        Approximation that the draws come from. ``"delta"`` is a point: one chain of one draw.
    domain
        Name of the domain.
    draws
        Site → ``(num_chains, num_draws, …)`` float32: ``D`` (…, latent_dim) and ``S`` (…, num_effects) of the domain,
        and where they are lifted ``W_z`` and ``W_d`` (…, latent_dim). D is in latent units, S in units of the graph's
        ``spread``. Each value is one that ``do`` takes for its node. Draw i of one site belongs to draw i of the others.
    prior
        Draws from the prior in the same form, ``(1, num_prior_draws, …)``.
    log_likelihood
        ``(num_chains, num_draws, num_queries)`` log P(R) in nats of each query that the density is evaluated on, each
        counted once.
    replicated
        ``(num_chains, num_draws, num_queries)`` int64, an item drawn from P(R) for each of these queries: the posterior
        predictive distribution.
    observed
        ``(num_queries,)`` int64, the item that was chosen.
    events
        ``(num_queries,)`` int64, position in the domain's log of the event that each query predicts.
    statistics
        Name → ``(num_chains, num_draws)``: ``lp``, the log density that was sampled or approximated; ``log_q``, the log
        density of the approximation; for NUTS ``diverging`` and ``energy``.
    item_ids
        ``(num_items,)`` ids of the domain's items; `observed` and `replicated` hold positions in it.
    facts
        Plain JSON: numbers of queries that are given and evaluated, ELBOs of restarts, seeds.

    Examples
    --------
    >>> import torch
    >>> draws = {"S": torch.arange(20.0).reshape(1, 5, 4)}
    >>> posterior = Posterior("laplace", "shop", draws)
    >>> posterior
    Posterior of domain 'shop'
      method      laplace
      sites       S (4,)
      draws       1 chain × 5 draws
      point       no
      diagnostic  not known
    >>> posterior.mean()["S"]
    tensor([ 8.,  9., 10., 11.])
    >>> posterior.summary()["mean"].round(1).to_dict()
    {'S[match]': 8.0, 'S[popularity]': 9.0, 'S[repeat]': 10.0, 'S[background]': 11.0}
    >>> posterior.thinned(2)["S"].shape
    torch.Size([2, 4])
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
        """Check the method and that all draws have the same numbers of chains and draws."""
        check_method(self.method)
        leading = {tuple(value.shape[:2]) for value in self._arrays()}
        if len(leading) != 1:
            raise ValueError(f"expected (num_chains, num_draws, …) for every site, got {leading}")

    def __repr__(self) -> str:
        """Return domain, method, sites, number of draws and the worst known diagnostic, one a line."""
        return display.as_text(f"Posterior of domain {self.domain!r}", self._rows)

    def _repr_html_(self) -> str:
        """Return the same as an HTML table, for notebooks."""
        return display.as_html(f"Posterior of domain {self.domain!r}", self._rows)

    @property
    def num_chains(self) -> int:
        """Number of chains of NUTS; 1 for the other methods."""
        return self._arrays()[0].shape[0]

    @property
    def num_draws(self) -> int:
        """Number of draws in each chain."""
        return self._arrays()[0].shape[1]

    @property
    def is_point(self) -> bool:
        """Whether the posterior is a MAP, a point without spread."""
        return self.method == "delta"

    def mean(self) -> dict[str, Tensor]:
        """Return the mean of each site over chains and draws: ``D`` (latent_dim,), ``S`` (num_effects,), …"""
        return {site: value.mean(dim=(0, 1)) for site, value in self.draws.items()}

    def thinned(self, num_draws: int) -> dict[str, Tensor]:
        """Return at most `num_draws` draws of each site, ``(n, …)``, evenly spaced over all chains in turn."""
        total = self.num_chains * self.num_draws
        kept = torch.linspace(0, total - 1, min(num_draws, total)).round().long()
        return {site: value.flatten(0, 1)[kept] for site, value in self.draws.items()}

    def to_arviz(self) -> arviz_io.ArvizData:
        """Return ``InferenceData`` (ArviZ 0.x) or ``DataTree`` (1.x).

        The groups are posterior, sample_stats, log_likelihood, posterior_predictive, prior, observed_data and
        constant_data (how often each item was chosen). The dimensions are domain, latent, effect (the names in
        `EFFECTS`), query (position in the log) and item.
        """
        latent = next((v.shape[-1] for site, v in self.draws.items() if site != "S"), 0)
        coords: dict[str, Sequence[str] | np.ndarray] = {
            "domain": [self.domain],
            "effect": list(EFFECTS[: self._num_effects]),
            "latent": np.arange(latent),
        }
        # ArviZ expects a posterior, but PreRec_n has no latent.
        empty = {"none": np.zeros((self.num_chains, self.num_draws))}
        groups = {"posterior": _to_arrays(self.draws) or empty, "prior": _to_arrays(self.prior)}
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
        """Write `to_arviz` as netCDF, which ``arviz.from_netcdf`` opens; the file appears only when it is complete.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        arviz_io.write(self.to_arviz(), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Posterior:
        """Return the posterior that `save` wrote; files with older names of the coordinates of S can be read too.

        Raises
        ------
        InputError
            If the file is missing or holds no posterior of this package.
        """
        groups, coords, attrs = arviz_io.read(Path(path))
        if not {"method", "facts"} <= set(attrs) or "domain" not in coords:
            raise InputError(f"{path}: holds no posterior of prerec-pyro; write one with `diagnose` or Posterior.save")
        choices = {
            group: _optional(groups.get(group, {}), "R")
            for group in ("log_likelihood", "posterior_predictive", "observed_data")
        }
        return cls(
            method=check_method(str(attrs["method"])),
            domain=str(coords["domain"][0]),
            draws={site: value for site, value in _to_tensors(groups["posterior"]).items() if site != "none"},
            prior=_to_tensors(groups.get("prior", {})),
            log_likelihood=choices["log_likelihood"],
            replicated=choices["posterior_predictive"],
            observed=choices["observed_data"],
            events=torch.from_numpy(coords["query"].astype(np.int64)) if "observed_data" in groups else None,
            statistics={name: torch.from_numpy(value) for name, value in groups.get("sample_stats", {}).items()},
            item_ids=np.asarray(coords["item"], dtype=object) if "item" in coords else None,
            facts=json.loads(attrs["facts"]),
        )

    def summary(self) -> pd.DataFrame:
        """Return one row for each number, named ``S[popularity]``, ``D[17]``, …; S comes first.

        The columns are ``mean``, ``sd`` and ``5%`` and ``95%``, the bounds of the 90 % interval. NUTS adds ``r_hat``,
        ``ess_bulk`` and ``ess_tail``. A MAP has no spread, so its only column is ``value``.
        """
        import pandas as pd

        names, values = self._numbers()  # (num_chains, num_draws, num_numbers)
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
            If the posterior has no such site, or is a point.
        """
        if self.is_point:
            raise InputError("a MAP is a point and has no interval to plot; use method='laplace', for example")
        if missing := [site for site in sites if site not in self.draws]:
            raise InputError(f"plot: no site {missing[0]!r}; expected some of {', '.join(self.draws)}")
        return arviz_io.forest(self.to_arviz(), sites, INTERVAL)

    @property
    def _num_effects(self) -> int:
        """Number of coordinates of S, the first ones of `EFFECTS`."""
        return next((values["S"].shape[-1] for values in (self.draws, self.prior) if "S" in values), len(EFFECTS))

    def _arrays(self) -> list[Tensor]:
        """Return all tensors that begin with chains and draws."""
        return [*self.draws.values(), *(v for v in (self.log_likelihood, self.replicated) if v is not None)]

    def _numbers(self) -> tuple[list[str], np.ndarray]:
        """Return names and draws of every number, ``(num_chains, num_draws, num_numbers)``; S first."""
        names: list[str] = []
        order = sorted(self.draws, key=lambda site: (site != "S", site))
        for site in order:
            width = self.draws[site].shape[-1]
            names += [f"{site}[{EFFECTS[i] if site == 'S' else i}]" for i in range(width)]
        none = np.zeros((self.num_chains, self.num_draws, 0))
        return names, np.concatenate([none, *(self.draws[site].double().numpy() for site in order)], axis=-1)

    @cached_property
    def _rows(self) -> list[tuple[str, str]]:
        """Names and values that describe the posterior."""
        chains = "chain" if self.num_chains == 1 else "chains"
        draws = "draw" if self.num_draws == 1 else "draws"
        return [
            ("method", self.method),
            ("sites", ", ".join(f"{site} {tuple(v.shape[2:])}" for site, v in self.draws.items()) or "none"),
            ("draws", f"{self.num_chains} {chains} × {self.num_draws} {draws}"),
            ("point", "yes, a MAP without spread" if self.is_point else "no"),
            ("diagnostic", self._worst_diagnostic()),
        ]

    def _worst_diagnostic(self) -> str:
        """Return the largest R-hat and the number of divergences, or k-hat, where the draws have them."""
        if self.is_point:
            return "none, a point has no spread"
        if self.method == "nuts" and self.draws and self.num_draws >= _MIN_DRAWS:
            names, values = self._numbers()
            r_hat = np.nan_to_num(diagnostics.convergence(values)["r_hat"], nan=-np.inf)
            worst = int(r_hat.argmax())
            found = f"R-hat {r_hat[worst]:.3f} ({names[worst]})" if np.isfinite(r_hat[worst]) else "R-hat not known"
            if "diverging" in self.statistics:
                found += f", {int(self.statistics['diverging'].sum())} divergences"
            return found
        if {"lp", "log_q"} <= set(self.statistics) and self.num_draws >= _MIN_DRAWS:
            ratios = (self.statistics["lp"] - self.statistics["log_q"]).flatten().double().numpy()
            return f"k-hat {diagnostics.k_hat(ratios):.2f}"
        return "not known"


def _to_arrays(values: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return draws as arrays in which D and S have a dimension of domains."""
    return {s: (v.unsqueeze(2) if s in _DOMAIN_NODES else v).numpy() for s, v in values.items()}


def _to_tensors(group: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Return arrays as draws; the inverse of `_to_arrays`."""
    return {s: torch.from_numpy(v[:, :, 0] if s in _DOMAIN_NODES else v) for s, v in group.items()}


def _optional(group: Mapping[str, np.ndarray], name: str) -> Tensor | None:
    return torch.from_numpy(group[name]) if name in group else None

"""Arms of an effect report: the interventions that it compares with the factual recommendations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prerec_pyro.causal.protocol import CausalModel, require_nodes
from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.intervention import Value
from prerec_pyro.inference.prior.draws import prior_draws
from prerec_pyro.inference.trained_domains import TrainedDomains

FACTUAL = "factual"
Settings = Mapping[str, tuple[Mapping[str, Value], ...]]


@dataclass(frozen=True, eq=False)
class Arm:
    """One alternative to the factual recommendations: an intervention, or several to average over.

    Attributes
    ----------
    name
        Name in tables and pictures.
    interventions
        Each intervention is a mapping of nodes to values, as ``do`` takes it.

    Examples
    --------
    >>> Arm("half as popular", ({"Z": "x0.5"},)).name
    'half as popular'
    """

    name: str
    interventions: tuple[Mapping[str, Value], ...]


def default_arms(
    model: CausalModel, domain: Domain, *, as_if: Iterable[str] = (), num_draws: int = 4, seed: int = 0
) -> list[Arm]:
    """Return the arms do(D), do(Z), and do(D, Z).

    Z is set to 0: no popularity. D of a domain that the model was trained on is set to 0, the average domain. A new
    domain gets the recommendations of an average domain already, so its D is set to draws from the prior, and the
    results are averaged over them. With `as_if`, D is set to the D of trained domains instead, one arm each.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    domain
        Domain of the report.
    as_if
        Names of trained domains.
    num_draws
        Number of draws of D for a new domain.
    seed
        Seed of the draws.

    Raises
    ------
    InputError
        If the model has no confounders, or it was not trained on a domain of `as_if`.

    Examples
    --------
    >>> from prerec_pyro import PreRec, TrainConfig, simulate
    >>> shops = simulate(2, num_items=30, num_users=40, num_days=20)
    >>> source, shop = (one.domain.with_embeddings(one.truth.item_mean) for one in shops)
    >>> model = PreRec(training=TrainConfig(epochs=1), device="cpu").fit([source])
    >>> [arm.name for arm in default_arms(model, shop)]
    ['do(D ~ prior)', 'do(Z = 0)', 'do(D ~ prior, Z = 0)']
    >>> [arm.name for arm in default_arms(model, source)]
    ['do(D = 0)', 'do(Z = 0)', 'do(D = 0, Z = 0)']
    """
    graph = require_nodes(model, "DZ", "the effect report")
    sources, names = model.sources, list(dict.fromkeys(as_if))
    settings: Settings
    if names:
        settings = _as_trained_domains(sources, names)
    elif sources.row(domain) is not None:
        settings = {"do(D = 0)": ({"D": 0.0},)}
    else:
        drawn = prior_draws(graph, num_draws, seed=seed)["D"]
        settings = {"do(D ~ prior)": tuple({"D": row} for row in drawn)}
    arms = [Arm(name, dos) for name, dos in settings.items()]
    both = [Arm(f"{name[:-1]}, Z = 0)", tuple({**do, "Z": 0.0} for do in dos)) for name, dos in settings.items()]
    return [*arms, Arm("do(Z = 0)", ({"Z": 0.0},)), *both]


def _as_trained_domains(sources: TrainedDomains, names: list[str]) -> Settings:
    """Return the interventions that set D to the D of each named domain."""
    known = list(sources.item_ids)
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            f"as_if {unknown[0]!r}: the model was not trained on this domain; expected some of "
            f"{', '.join(known) or 'none, since an exported model knows no domain'}"
        )
    if "D" not in sources.nodes:
        raise InputError("as_if: D was not free when this model was trained, so all of its domains have D = 0")
    return {f"do(D = {name})": ({"D": sources.nodes["D"][known.index(name)]},) for name in names}

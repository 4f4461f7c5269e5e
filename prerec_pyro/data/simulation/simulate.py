"""Domains drawn from the causal graph of Fig. 1, with texts of real words and with their ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.popularity import Popularity
from prerec_pyro.data.simulation.ground_truth import GroundTruth, match_logits, save_truth, truth_path
from prerec_pyro.data.simulation.vocabulary import Vocabulary, draw_catalogue
from prerec_pyro.data.times import SECONDS_PER_DAY

FIRST_DAY = 19_723  # 2024-01-01
MIN_LENGTH, MAX_LENGTH = 2, 30  # events of a user
# Items, users and days of domains 0, 1, 2 and 3, as shares of the numbers in `simulate`; domain 4 is as domain 0. The
# traffic per item and day differs eight-fold, so raw counts of two domains do not compare; the factors of eq. 10 do.
_PROFILES = ((1.0, 1.0, 1.0), (0.7, 1.2, 0.6), (1.3, 0.5, 1.2), (0.85, 0.8, 0.9))


@dataclass(frozen=True)
class SimulationConfig:
    """Strengths of the edges of the graph, the same in all domains.

    Parameters
    ----------
    popularity_weight
        w_z, the weight of log(1 + F_{j,2}) in Z_j·W_z.
    trend_noise
        Standard deviation of Z_j·W_z given F_j.
    burst_height
        Mean height of a burst of Z_j·W_z, as when an item is launched or promoted.
    sharpness
        β, the weight of U·V in the logits of R.
    domain_noise
        λ_d^-1/2, the standard deviation of D times the square root of its dimension.
    item_noise, user_noise
        λ_v^-1/2 and λ_u^-1/2, in the same unit.
    history, taste, domain
        Weights of the recent items, the taste of the user and D in U.
    memory
        Weight of an item in the history relative to the next item.

    Raises
    ------
    ValueError
        If a value is negative or not finite.
    """

    popularity_weight: float = 1.1
    trend_noise: float = 0.05
    burst_height: float = 0.3
    sharpness: float = 8.0
    domain_noise: float = 1.0
    item_noise: float = 0.2
    user_noise: float = 0.2
    history: float = 0.75
    taste: float = 0.2
    domain: float = 0.2
    memory: float = 0.7

    def __post_init__(self) -> None:
        """Raise ``ValueError`` if a value is negative or not finite."""
        for one in fields(self):
            value = getattr(self, one.name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"SimulationConfig: {one.name} is {value}, expected a finite number, 0 or more")


@dataclass(frozen=True, eq=False)
class Simulated:
    """One simulated domain and its ground truth."""

    domain: Domain
    truth: GroundTruth = field(repr=False)


class _Size(NamedTuple):
    num_items: int
    num_users: int
    num_days: int


def simulate(
    num_domains: int = 4,
    seed: int = 0,
    *,
    num_items: int = 600,
    num_users: int = 3000,
    num_days: int = 90,
    latent_dim: int = 16,
    config: SimulationConfig | None = None,
) -> list[Simulated]:
    """Return domains ``sim-0``, ``sim-1``, … drawn from Fig. 1 with D → U, D → V, Z → R and U, V → R.

    - D ~ Normal(0, λ_d^-1/2), per domain.
    - V_j ~ Normal(item_mean_j + A D, λ_v^-1/2); ``item_mean`` is the sum over the words of the item's text.
    - Z_j·W_z ~ Normal(w_z log(1 + F_{j,2}), …) plus bursts, per item and day; F (eq. 10) counts the events so far.
    - U ~ Normal(history · mean of recent items + taste · user's taste + domain · D, λ_u^-1/2), per event.
    - R ~ Categorical(logits = β U·V + Z·W_z) over all items of the domain.

    The edge Z → V has no effect here. Domains share the word vectors (`Vocabulary.draw`) and A; each uses other words,
    and differs in size, traffic and period. Domain i depends on `seed` and not on `num_domains`.

    Parameters
    ----------
    num_domains
        Number of domains.
    seed
        Seed of all random numbers.
    num_items, num_users, num_days
        Size of domain 0; the others have 0.5 to 1.3 times as many.
    latent_dim
        Dimension of D, U and V; at most 64.
    config
        Strengths of the edges; by default `SimulationConfig()`.

    Raises
    ------
    ValueError
        If a number is too small, the words give fewer texts than `num_items`, or `latent_dim` is above 64.

    Examples
    --------
    >>> from prerec_pyro.data import simulate
    >>> simulated = simulate(2, seed=0, num_items=20, num_users=30, num_days=10)
    >>> simulated[1].domain.name, simulated[0].domain.num_items, simulated[0].truth.V.shape
    ('sim-1', 20, (20, 16))
    """
    _check_least({"num_domains": num_domains, "latent_dim": latent_dim}, 1)
    _check_least({"num_items": num_items, "num_users": num_users, "num_days": num_days}, 2)
    _check_least({"seed": seed}, 0)
    rng = _generator(seed, 0)
    vocabulary = Vocabulary.draw(rng, latent_dim)
    domain_to_item = rng.standard_normal((latent_dim, latent_dim)) / np.sqrt(latent_dim)
    result = []
    for k in range(num_domains):
        shares = _PROFILES[k % len(_PROFILES)]
        size = _Size(*(max(2, round(n * s)) for n, s in zip((num_items, num_users, num_days), shares, strict=True)))
        drawn = _draw_domain(k, _generator(seed, 1 + k), vocabulary, domain_to_item, size, config or SimulationConfig())
        note = f"Drawn from the causal graph with seed {seed}; the ground truth is known."
        result.append(Simulated(drawn.domain.with_notes(note), drawn.truth))
    return result


def _check_least(numbers: Mapping[str, int], least: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name} is {number}, expected {least} or more")


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,))))


def _draw_domain(
    k: int,
    rng: np.random.Generator,
    vocabulary: Vocabulary,
    domain_to_item: np.ndarray,
    size: _Size,
    config: SimulationConfig,
) -> Simulated:
    num_items, num_users, num_days = size
    texts, item_mean = draw_catalogue(vocabulary, rng, num_items)
    dim = item_mean.shape[1]
    D = _normal(rng, config.domain_noise, dim)
    V = (item_mean + domain_to_item @ D + _normal(rng, config.item_noise, num_items, dim)).astype(np.float32)
    trend = _draw_trend(rng, num_days, num_items, config)
    offsets, slot = _draw_schedule(rng, num_users, num_days)
    item_index, U, score = _draw_events(rng, offsets, slot, item_mean, V, D, trend, config)
    domain = Domain(
        name=f"sim-{k}",
        item_ids=np.array([f"s{k}-{j:05d}" for j in range(num_items)], dtype=object),
        item_texts=np.array(texts, dtype=object),
        user_ids=np.array([f"u{k}-{u:05d}" for u in range(num_users)], dtype=object),
        offsets=offsets,
        item_index=item_index,
        timestamps=_draw_times(rng, offsets, slot) + (FIRST_DAY + 7 * k) * SECONDS_PER_DAY,
        provenance={"source": "simulated", "files": [], "dropped": {}, "notes": []},
    )
    truth = GroundTruth(
        D=D.astype(np.float32),
        domain_to_item=domain_to_item.astype(np.float32),
        item_mean=item_mean.astype(np.float32),
        V=V,
        U=U,
        slot=slot,
        popularity_score=score,
        trend=trend,
        popularity_weight=config.popularity_weight,
        sharpness=config.sharpness,
    )
    return Simulated(domain, truth)


def _normal(rng: np.random.Generator, scale: float, *shape: int) -> np.ndarray:
    """Return random vectors whose expected squared length is scale², whatever their dimension."""
    return rng.standard_normal(shape) * (scale / np.sqrt(shape[-1]))


def _draw_trend(rng: np.random.Generator, num_days: int, num_items: int, config: SimulationConfig) -> np.ndarray:
    """Return slow noise plus bursts that halve every few days, ``(num_days, num_items)`` float32."""
    keep = 0.9  # from one day to the next
    noise = np.empty((num_days, num_items))
    noise[0] = rng.standard_normal(num_items)
    for t in range(1, num_days):
        noise[t] = keep * noise[t - 1] + np.sqrt(1 - keep**2) * rng.standard_normal(num_items)
    trend = config.trend_noise * noise
    bursts = rng.poisson(num_days / 60, num_items)  # about one in two months
    day = np.arange(num_days)[:, None]
    item = np.repeat(np.arange(num_items), bursts)
    start = rng.integers(-10, num_days, len(item))
    height = rng.uniform(0, 2 * config.burst_height, len(item))
    half_life = rng.uniform(2, 6, len(item))
    age = day - start  # (num_days, num_bursts)
    heights = np.where(age >= 0, height * 0.5 ** (np.maximum(age, 0) / half_life), 0.0)
    np.add.at(trend.T, item, heights.T)
    return trend.astype(np.float32)


def _draw_schedule(rng: np.random.Generator, num_users: int, num_days: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets of the users' events, ``(num_users + 1,)``, and the day of each event, int32 from 0."""
    length = np.minimum(MIN_LENGTH + rng.geometric(1 / 7, num_users) - 1, MAX_LENGTH)
    offsets = np.concatenate([[0], np.cumsum(length)])
    user = np.repeat(np.arange(num_users), length)
    comes_back = rng.random(num_users) < 0.4  # on later days; the others have one day
    gap = np.where(comes_back[user] & (rng.random(len(user)) < 0.3), rng.geometric(0.4, len(user)), 0)
    gap[offsets[:-1]] = 0
    elapsed = np.cumsum(gap)
    elapsed = np.minimum(elapsed - elapsed[offsets[:-1]][user], num_days - 1)
    room = num_days - elapsed[offsets[1:] - 1]
    arrival = np.sort(rng.random(num_users))
    arrival[0] = 0.0  # the log begins on its first day
    return offsets, (np.floor(arrival * room)[user] + elapsed).astype(np.int32)


def _draw_events(
    rng: np.random.Generator,
    offsets: np.ndarray,
    slot: np.ndarray,
    item_mean: np.ndarray,
    V: np.ndarray,
    D: np.ndarray,
    trend: np.ndarray,
    config: SimulationConfig,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the item of each event, U of each event, and Z·W_z ``(num_days, num_items)``, drawn day by day."""
    num_users, num_items = len(offsets) - 1, len(V)
    user = np.repeat(np.arange(num_users), np.diff(offsets))
    taste = config.taste * _normal(rng, 1.0, num_users, len(D)) + config.domain * D
    recent, weight = np.zeros((num_users, len(D))), np.zeros((num_users, 1))
    item_index = np.zeros(len(slot), dtype=np.int32)
    U = np.zeros((len(slot), len(D)), dtype=np.float32)
    score = np.empty_like(trend)
    done: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    for t in range(len(trend)):
        score[t] = config.popularity_weight * np.log1p(_factors(item_index, slot, np.concatenate(done), t, num_items))
        score[t] += trend[t]
        today = np.flatnonzero(slot == t)  # by user, then in order of sequence
        step = np.arange(len(today)) - np.searchsorted(user[today], user[today])
        for s in range(step.max(initial=-1) + 1):
            now = today[step == s]  # one event of each user
            active = user[now]
            mean = config.history * recent[active] / np.maximum(weight[active], 1.0) + taste[active]
            U[now] = mean + _normal(rng, config.user_noise, len(now), len(D))
            logits = match_logits(U[now], V, config.sharpness) + score[t]
            item_index[now] = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
            recent[active] = config.memory * recent[active] + item_mean[item_index[now]]
            weight[active] = config.memory * weight[active] + 1.0
        done.append(today)
    return item_index, U, score


def _factors(item_index: np.ndarray, slot: np.ndarray, done: np.ndarray, t: int, num_items: int) -> np.ndarray:
    """Return F_{j,2} of all items on day `t`, ``(num_items,)``, from the events `done` before it."""
    if not len(done):
        return np.zeros(num_items, dtype=np.float32)
    past = Popularity(item_index[done], slot[done], num_items)
    at = past.slots(t)
    return past.factors(past.counts(np.arange(num_items), at), at)[:, 1]


def _draw_times(rng: np.random.Generator, offsets: np.ndarray, slot: np.ndarray) -> np.ndarray:
    """Return seconds since the first midnight: a visit starts between 7 and 20 h, its clicks follow within minutes."""
    starts = np.ones(len(slot), dtype=bool)
    starts[1:] = slot[1:] != slot[:-1]
    starts[offsets[:-1]] = True
    visit = np.cumsum(starts) - 1
    begin = rng.integers(7 * 3600, 20 * 3600, visit[-1] + 1)
    elapsed = np.cumsum(np.where(starts, 0, rng.integers(10, 240, len(slot))))
    elapsed -= elapsed[np.flatnonzero(starts)][visit]
    return slot.astype(np.int64) * SECONDS_PER_DAY + begin[visit] + elapsed


def save_simulated(simulated: Sequence[Simulated], folder: str | Path) -> None:
    """Write each domain to ``folder/<name>/`` and its ground truth to ``folder/<name>.truth.safetensors``.

    Raises
    ------
    InputError
        If a folder exists and is no domain, or cannot be written; see `Domain.save`.
    """
    for one in simulated:
        one.domain.save(Path(folder) / one.domain.name)
        save_truth(one.truth, truth_path(folder, one.domain.name))

"""Hyperparameter search over the paper's Table 4, on validation users only; needs the extra ``tune`` (optuna)."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import num_queries, validation_score
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.models.graphs.registry import GRAPHS
from prerec_pyro.models.priors import Normal, Priors
from prerec_pyro.recommenders.base import BaseRecommender
from prerec_pyro.recommenders.registry import GRAPH_OF
from prerec_pyro.reproduction.cells import short_hash
from prerec_pyro.reproduction.domains import domain_facts
from prerec_pyro.reproduction.model_store import untrained
from prerec_pyro.reproduction.plan import MethodSettings

logger = logging.getLogger(__name__)
TABLE4: dict[str, tuple[float, ...]] = {
    "learning_rate": (3e-5, 3e-4, 3e-3, 3e-2),
    # The paper counts samples, each with a padded history of its own; here each position of a history is a query.
    "batch_tokens": (512, 1024, 2048, 4096, 8192),
    "num_negatives": (64, 128, 256, 512),
    "num_layers": (1, 2, 3, 4, 6, 8, 12),
    "num_heads": (1, 2, 3, 4, 6, 8, 12),
    "latent_dim": (64, 128, 256, 512, 1024),
}
REGULARISATION = {"D": (0.03, 0.3, 3, 30, 300), "V": (100.0,)}
"""λ of D and V as a multiple of the gradient of a batch mean: λ·N in eq. 4, with N interactions."""


def require_optuna() -> Any:
    """Return the module optuna; raise `InputError` if it is not installed."""
    try:
        import optuna
    except ImportError:
        raise InputError(
            "tune: needs optuna, which is not installed; install the extra: pip install 'prerec-pyro[tune]'"
        ) from None
    return optuna


@dataclass(frozen=True, eq=False)
class Search:
    """Search space of one method, and the domains to search on.

    Attributes
    ----------
    method
        A trained method.
    settings
        Settings of the method; those outside the search stay as they are.
    sources
        Domains to train on.
    target
        Domain to validate zero-shot on; None validates on the sources, as training does.
    template
        Recommender that has encoded the domains.
    fixed
        Names of settings to leave out of the search.
    split_seed
        Seed of the split of users.
    seed
        Seed of training and search.
    """

    method: str
    settings: MethodSettings
    sources: Sequence[EncodedDomain]
    target: EncodedDomain | None
    template: BaseRecommender
    fixed: frozenset[str] = field(default_factory=frozenset)
    split_seed: int = 0
    seed: int = 0

    def space(self) -> dict[str, list[float]]:
        """Return name → candidates: those of Table 4 for the settings of the method, and its own default.

        ``prior_D`` and ``prior_V`` are scales of normal priors, λ^-1/2. Numbers of heads that do not divide every
        candidate width are left out.
        """
        now = self.settings.shape.model_dump() | self.settings.sources.model_dump()
        found = {
            name: sorted({*values, now[name]})
            for name, values in TABLE4.items()
            if name in now and name not in self.fixed
        }
        if "num_heads" in found:
            widths = found.get("latent_dim", [now["latent_dim"]])
            found["num_heads"] = [heads for heads in found["num_heads"] if all(w % heads == 0 for w in widths)]
        if self.method not in LEARNED:
            number = sum(num_queries(e.domain, split_users(e.domain, self.split_seed).train) for e in self.sources)
            for node in _prior_nodes(self.method):
                scales = {_rounded(1 / math.sqrt(weight * max(number, 1))) for weight in REGULARISATION[node]}
                if f"prior_{node}" not in self.fixed:
                    found[f"prior_{node}"] = sorted({*scales, _default_scale(node)})
        return found

    def default(self) -> dict[str, float]:
        """Return the point of the space with the current settings of the method."""
        now = self.settings.shape.model_dump() | self.settings.sources.model_dump()
        now |= {"prior_D": _default_scale("D"), "prior_V": _default_scale("V")}
        return {name: now[name] for name in self.space()}

    def score(self, point: Mapping[str, float]) -> float:
        """Return the validation r-NDCG@K% of a model trained with the settings of a point; raises as `fit` does."""
        changed = [
            getattr(self.settings, part).model_copy(
                update={n: v for n, v in point.items() if n in type(getattr(self.settings, part)).model_fields}
            )
            for part in ("shape", "sources")
        ]
        settings = dataclasses.replace(self.settings, shape=changed[0], sources=changed[1])
        priors = {name.removeprefix("prior_"): Normal(v) for name, v in point.items() if name.startswith("prior_")}
        more = {} if self.method in LEARNED else {"priors": Priors(**priors)}
        model = untrained(self.method, settings, settings.sources, self.seed, self.template, **more)
        model.fit(self.sources, split_seed=self.split_seed)
        if self.target is None:
            return float(model.facts["validation_r_ndcg"])
        parts = [(self.target, split_users(self.target.domain, self.split_seed).validation)]
        return validation_score(model, parts, settings.sources.k_percent, settings.sources.recipe.validation_queries)

    def key(self) -> dict[str, Any]:
        """Return everything that determines a score, plain JSON."""
        return {
            "method": self.method,
            "settings": self.settings.as_json(("shape", "sources")),
            "space": self.space(),
            "sources": [domain_facts(source) for source in self.sources],
            "target": None if self.target is None else domain_facts(self.target),
            "split_seed": self.split_seed,
            "seed": self.seed,
        }


def tune(search: Search, trials: int, storage: Path) -> dict[str, Any]:
    """Return the best point found and every trial, as plain JSON.

    The first trial has the current settings of the method; optuna's TPE proposes the others.

    Parameters
    ----------
    search
        Search space and domains.
    trials
        Total number of trials, including those of earlier runs.
    storage
        optuna's journal, a text file; created, or continued.

    Raises
    ------
    InputError
        If optuna is missing, there is nothing to search, the storage is damaged, or no trial succeeded.
    """
    optuna = require_optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = search.space()
    if not space:
        raise InputError("tune: every setting is fixed, there is nothing to search; leave out some --set")
    study = _open_study(optuna, search, storage)
    finished = sum(trial.state.is_finished() for trial in study.trials)
    if finished:
        logger.info("continuing after %d trials", finished)
    # Another seed than that of the earlier runs, which would propose the same points again.
    study.sampler = optuna.samplers.TPESampler(seed=search.seed + finished)
    if not study.trials:
        study.enqueue_trial(search.default())
    known = {_key(trial.params): trial.value for trial in study.trials if trial.value is not None}
    failures: list[str] = []

    def objective(trial: Any) -> float:
        point = {name: trial.suggest_categorical(name, values) for name, values in space.items()}
        try:
            if _key(point) not in known:
                known[_key(point)] = search.score(point)
        except InputError as error:
            failures.append(str(error))
            logger.warning("trial %d failed: %s", trial.number, error)
            raise
        logger.info("trial %d: validation r-NDCG %.4f with %s", trial.number, known[_key(point)], point)
        return known[_key(point)]

    study.optimize(objective, n_trials=max(0, trials - finished), catch=(InputError,))
    done = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if not done:
        raise InputError(f"tune: none of the {trials} trials succeeded; {failures[-1] if failures else 'try more'}")
    best = max(done, key=lambda trial: trial.value)
    return _report(search, study.trials, best, known.get(_key(search.default())))


def options(search: Search, point: Mapping[str, float]) -> Iterator[str]:
    """Yield the options of ``prerec-pyro train`` for a point and the fixed settings."""
    yield f"--method {search.method}"
    now = search.settings.shape.model_dump() | search.settings.sources.model_dump()
    fixed = {name: now[name] for name in sorted(search.fixed) if name in now}
    for name, value in (fixed | dict(point)).items():
        if name.startswith("prior_"):
            yield f"--prior {name.removeprefix('prior_')}=normal:scale={value}"
        else:
            yield f"--set {name}={value}"


def _report(search: Search, trials: Sequence[Any], best: Any, default: float | None) -> dict[str, Any]:
    """Return what `tune` found; `default` is the score of the current settings."""
    return {
        **search.key(),
        "best": {"trial": best.number, "validation_r_ndcg": best.value, "settings": best.params},
        "default": {"validation_r_ndcg": default, "settings": search.default()},
        "options": " ".join(options(search, best.params)),
        "trials": [
            {"number": t.number, "state": t.state.name.lower(), "validation_r_ndcg": t.value, "settings": t.params}
            for t in trials
        ],
    }


def _open_study(optuna: Any, search: Search, storage: Path) -> Any:
    try:
        storage.parent.mkdir(parents=True, exist_ok=True)
        backend = optuna.storages.journal.JournalFileBackend(str(storage))
        return optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=f"{search.method}-{short_hash(search.key())}",
            direction="maximize",
            load_if_exists=True,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{storage}: cannot be read as optuna's journal ({error}); delete it, or move it away"
        ) from error


def _prior_nodes(method: str) -> tuple[Literal["D", "V"], ...]:
    """Return the nodes with a prior to search; without confounders there is no D."""
    return ("D", "V") if "D" in GRAPHS[GRAPH_OF[method]].edges else ("V",)


def _default_scale(node: Literal["D", "V"]) -> float:
    """Return the scale of the default prior of a node."""
    prior = getattr(Priors(), node)
    if not isinstance(prior, Normal) or not isinstance(prior.scale, float):
        raise TypeError(f"the default prior of {node} is not normal with a fixed scale")
    return prior.scale


def _key(point: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(point.items()))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")

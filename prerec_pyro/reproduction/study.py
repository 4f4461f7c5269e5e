"""A study: measurements of rows on targets, for the tables and figures."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.splits import split_users
from prerec_pyro.data.subsets import random_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.metrics import top_k_size
from prerec_pyro.evaluation.protocol import evaluate, num_queries
from prerec_pyro.models.baselines import SBERT, MostPopular, Random
from prerec_pyro.ranking.lists import Recommender
from prerec_pyro.recommenders.base import BaseRecommender
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.registry import Model
from prerec_pyro.reproduction.cells import Cell, CellStore
from prerec_pyro.reproduction.domains import check_distinct, domain_facts, tables_of
from prerec_pyro.reproduction.model_store import ModelStore
from prerec_pyro.reproduction.plan import Plan
from prerec_pyro.reproduction.rows import Row
from prerec_pyro.training import checkpoint

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Progress of a measurement, such as a bar."""

    def update(self, steps: int, /) -> None:
        """Add finished queries."""
        ...


Watch = Callable[[int, str], AbstractContextManager[Progress]]
_UNTRAINED: dict[str, Callable[[], Recommender]] = {"random": Random, "pop": MostPopular, "sbert": SBERT}


class Study:
    """Measurements of rows on targets; cells and models that the folder holds already are read.

    Parameters
    ----------
    folder
        Folder of ``cells/`` and ``models/``.
    sources
        Domains to pre-train on. A query with a user or item of a source is not "unseen".
    targets
        Domains to measure on. Several studies may share encoded domains; then give them the same `template`.
    k_percents
        K% in percent: one for all targets, or one for each.
    plan
        Seeds, split and settings of the methods.
    watch
        Function from the number of queries and the name of a measurement to a context manager that shows its progress.
    template
        Untrained model that encodes the domains; None makes one from the plan.
    unseen
        Whether unseen queries are also reported apart. Ids that are numbered anew in each domain say nothing of that.

    Raises
    ------
    InputError
        If two domains share a name or their data, a K% is less than one item, or a target has no query to measure.
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[Domain | EncodedDomain],
        targets: Sequence[Domain | EncodedDomain],
        k_percents: Sequence[float],
        plan: Plan,
        watch: Watch | None = None,
        *,
        template: PreRec | None = None,
        unseen: bool = True,
    ) -> None:
        if not targets:
            raise InputError("there is no target; name a domain to measure on by --target")
        tables = [tables_of(target) for target in targets]
        check_distinct([tables_of(source) for source in sources], tables)
        if len(k_percents) not in (1, len(targets)):
            raise InputError(
                f"--k-percent: is given {len(k_percents)} times for {len(targets)} targets; give it once, or once for "
                "each --target in the same order"
            )
        self.plan, self._watch = plan, watch
        k_percents = list(k_percents) * (len(targets) if len(k_percents) == 1 else 1)
        self.k_percent = dict(zip((target.name for target in targets), k_percents, strict=True))
        self._splits = {target.name: split_users(target, plan.split_seed) for target in tables}
        for target in tables:
            self._check_target(target)
        self._template = plan.template() if template is None else template
        self.sources = [self._template.encoded(domain) for domain in sources]
        self.targets = [self._template.encoded(domain) for domain in targets]
        self._unseen_from = [source.domain for source in self.sources] if unseen else []
        self._facts = {e.name: domain_facts(e) for e in (*self.sources, *self.targets)}
        self._cells = CellStore(folder / "cells")
        self._models = ModelStore(folder / "models", self._template)

    def cell(self, row: Row, target: EncodedDomain, seed: int, samples: int | None = None) -> Cell:
        """Return one measurement of a row.

        Parameters
        ----------
        row
            Row of a table.
        target
            Target domain.
        seed
            Training seed.
        samples
            Number of training queries of the target, for rows that train on it; None is all.
        """
        name = f"{row.name}-{target.name}-seed{seed}" + (f"-{samples or 'all'}" if row.on_target else "")
        key = self._key(row, target, seed) | {
            "k_percent": self.k_percent[target.name],
            "split": self.plan.split,
            "target": self._facts[target.name],
            "unseen_from": [self._facts[domain.name] for domain in self._unseen_from],
            **({} if self.plan.max_queries is None else {"max_queries": self.plan.max_queries}),
            **({"samples": samples} if row.on_target else {}),
        }
        return self._cells.get(_file_name(name), key, lambda: self._measure(row, target, seed, samples, name))

    def seeds(self, row: Row) -> range:
        """Return the training seeds of a row: one if nothing is trained, as of a given model that is not fine-tuned."""
        given = self.plan.given
        return row.seeds(1 if given is not None and given.serves(row) and not row.on_target else self.plan.seeds)

    def num_samples(self, target: EncodedDomain) -> int:
        """Return the number of training queries of a target."""
        return num_queries(target.domain, self._splits[target.name].train)

    def users(self, target: Domain) -> np.ndarray:
        """Return the user rows of a target that are measured, sorted: those of the split, or drawn ones among them."""
        users = self._splits[target.name].users(self.plan.split)
        return users if self.plan.max_queries is None else random_users(target, users, self.plan.max_queries)

    def about(self) -> dict[str, Any]:
        """Return the settings behind the numbers, plain JSON, for the head of a table."""
        return {
            "sources": [source.name for source in self.sources],
            "targets": [target.name for target in self.targets],
            "k_percent": self.k_percent,
            "split": self.plan.split,
            "split_seed": self.plan.split_seed,
            "seeds": self.plan.seeds,
            "max_queries": self.plan.max_queries,
            "domains": list(self._facts.values()),
            "settings": {m: s.as_json(("shape", "sources", "target")) for m, s in self.plan.methods.items()},
            "encoder": [self._template.encoder_name, self._template.encoder_revision],
            "window": self.plan.window,
            "version": version("prerec-pyro"),
            **({} if self.plan.given is None else {"from": [self.plan.given.label, self.plan.given.hash]}),
        }

    def _measure(self, row: Row, target: EncodedDomain, seed: int, samples: int | None, name: str) -> Cell:
        logger.info("measuring %s", name)
        begin = time.monotonic()
        recommender, facts = self._recommender(row, target, seed, samples)
        users = self.users(target.domain)
        watch = nullcontext() if self._watch is None else self._watch(num_queries(target.domain, users), name)
        with watch as progress:
            found = evaluate(
                recommender,
                _as_served(target, recommender),
                users,
                k_percent=self.k_percent[target.name],
                sources=self._unseen_from,
                progress=None if progress is None else progress.update,
            )
        facts = facts | {"seconds": round(time.monotonic() - begin, 1)}
        cell = Cell.from_evaluation(found, self.plan.split, facts)
        row_of_all = cell.rows["all"]
        logger.info("%s: Recall %.4f, r-NDCG %.4f", name, row_of_all["recall"], row_of_all["r_ndcg"])
        return cell

    def _recommender(
        self, row: Row, target: EncodedDomain, seed: int, samples: int | None
    ) -> tuple[Recommender, dict[str, Any]]:
        """Return the recommender of a row, trained as needed, and the facts about its training."""
        if row.stage == "untrained":
            return _UNTRAINED[row.method](), {}
        settings, split_seed = self.plan.settings(row.method), self.plan.split_seed
        if row.stage == "scratch":
            model = self._models.from_scratch(
                row.method, settings, target, self._key(row, target, seed), seed, split_seed, samples
            )
            return model, _training_facts(model.facts)
        model = self._source_model(row, seed)
        if row.stage == "calibrated":
            if not isinstance(model, PreRec):
                raise TypeError(f"row {row.name!r}: a model of {row.method} cannot be calibrated")
            return CalibratedPreRec(model, self._splits[target.name].train), _training_facts(model.facts)
        if row.stage == "fine-tuned":
            key = self._key(row, target, seed)
            served = _as_served(target, model)
            model = self._models.fine_tuned(model, settings, served, key, seed, split_seed, samples)
        return model, _training_facts(model.facts)

    def _source_model(self, row: Row, seed: int) -> Model:
        """Return the model that a row starts from: the given one, or one that is trained on the sources."""
        given = self.plan.given
        if given is not None and given.serves(row):
            given.check_encoder(self._template)
            return given.model
        settings, key = self.plan.settings(row.method), self._source_key(row, seed)
        return self._models.pretrained(row.method, settings, self.sources, key, seed, self.plan.split_seed)

    def _key(self, row: Row, target: EncodedDomain, seed: int) -> dict[str, Any]:
        """Return everything that determines a recommender except the number of samples, plain JSON."""
        key: dict[str, Any] = {"row": row.name, "seed": seed, **self._fixed_key()}
        if row.from_sources:
            key["pretrained"] = self._source_key(row, seed)
        if row.on_target:
            key["trained_on"] = self._facts[target.name]
            key["settings"] = self.plan.settings(row.method).as_json(("shape", "target"))
        return key

    def _source_key(self, row: Row, seed: int) -> dict[str, Any]:
        """Return everything that determines a pre-trained model, plain JSON."""
        if self.plan.given is not None and self.plan.given.serves(row):
            return {"model": self.plan.given.hash, **self._fixed_key()}
        return {
            "method": row.method,
            "seed": seed,
            "settings": self.plan.settings(row.method).as_json(("shape", "sources")),
            "sources": [self._facts[source.name] for source in self.sources],
            **self._fixed_key(),
        }

    def _fixed_key(self) -> dict[str, Any]:
        """Return the settings that all rows share, plain JSON."""
        return {
            "split_seed": self.plan.split_seed,
            "window": self.plan.window,
            "encoder": [self._template.encoder_name, self._template.encoder_revision],
            "version": version("prerec-pyro"),
            "model_format": checkpoint.FORMAT_VERSION,
        }

    def _check_target(self, target: Domain) -> None:
        if self.plan.given is not None:
            self.plan.given.check_new(target)
        k_percent = self.k_percent[target.name]
        try:
            top_k_size(target.num_items, k_percent)
        except InputError as error:
            raise InputError(f"--k-percent {k_percent}: target {target.name!r}: {error}") from None
        if not num_queries(target, self.users(target)):
            raise InputError(
                f"target {target.name!r}: no {self.plan.split} user has two events, so there is nothing to measure; "
                "leave it out or choose another --split"
            )


def _as_served(target: EncodedDomain, recommender: Recommender) -> EncodedDomain:
    """Return a target with its newcomers counted as the recommender has learnt it."""
    known = recommender.newcomers_in(target.domain) if isinstance(recommender, BaseRecommender) else None
    return target.with_newcomers(known)


def _training_facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in ("best_epoch", "validation_r_ndcg", "num_samples") if name in facts}


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name)

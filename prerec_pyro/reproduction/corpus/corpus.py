"""Corpus: domains that are each other's sources and targets, and the overlaps between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.metrics import top_k_size, usable_k_percent
from prerec_pyro.evaluation.protocol import num_queries
from prerec_pyro.reproduction.corpus.overlaps import overlapping
from prerec_pyro.reproduction.corpus.time_kind import time_kind
from prerec_pyro.reproduction.domains import check_distinct
from prerec_pyro.reproduction.plan import Plan
from prerec_pyro.reproduction.study import Study, Watch


class Corpus:
    """Domains that are each other's sources and targets; each is encoded once, when it is first used.

    Parameters
    ----------
    folder
        Folder of ``cells/`` and ``models/``; see `Study`.
    domains
        All domains. They are ordered by name, so that the same sources are the same model in any order of the options.
    plan
        Seeds, split and settings of the methods.
    overlaps
        Groups of names; no domain is a source of a target of the same group.
    sources
        Names of the domains that may be sources; None is all.
    k_percent
        K% in percent; where it is less than one item of a target, K is one item there.
    watch
        Progress of a measurement; see `Study`.

    Raises
    ------
    InputError
        If domains share a name or their data, a source is not in the corpus, or K% is no percentage.
    """

    def __init__(
        self,
        folder: Path,
        domains: Iterable[Domain],
        plan: Plan,
        *,
        overlaps: Sequence[frozenset[str]] = (),
        sources: Iterable[str] | None = None,
        k_percent: float = 0.5,
        watch: Watch | None = None,
    ) -> None:
        domains = sorted(domains, key=lambda domain: domain.name)
        check_distinct(domains, [])
        if not 0 < k_percent <= 100:
            raise InputError(f"--k-percent {k_percent}: is no percentage; expected a number above 0 and up to 100")
        self.plan, self.overlaps, self.k_percent = plan, overlaps, k_percent
        self.domains = {domain.name: domain for domain in domains}
        self.may_be_sources = self.names("--source", sources)
        self._folder, self._watch = folder, watch
        self._template = plan.template()
        self._encoded: dict[str, EncodedDomain] = {}

    def names(self, option: str, given: Iterable[str] | None) -> list[str]:
        """Return the given names in the order of the corpus, all if None; raise `InputError` for an unknown one."""
        if given is None:
            return list(self.domains)
        given = list(given)
        for name in given:
            if name not in self.domains:
                raise InputError(
                    f"{option} {name}: is no domain of the corpus; expected one of {', '.join(self.domains)}"
                )
        return [name for name in self.domains if name in given]

    def sources_of(self, *targets: str) -> list[str]:
        """Return the sources of some targets: the domains that neither are one of them nor overlap one.

        Raises
        ------
        InputError
            If no source is left.
        """
        excluded = frozenset[str]().union(*(overlapping(target, self.overlaps) for target in targets))
        left = [name for name in self.may_be_sources if name not in excluded]
        if not left:
            raise InputError(
                f"target {', '.join(targets)}: no source is left, since each is a target or overlaps one; add domains "
                "by --corpus"
            )
        return left

    def study(self, target: str, sources: Iterable[str]) -> Study:
        """Return the study of one target with some sources, in the order of the corpus; raises as `Study` does."""
        places = [self._encode(name) for name in self.names("source", sources)]
        percent = self.k_of(target)
        return Study(
            self._folder,
            places,
            [self._encode(target)],
            [percent],
            self.plan,
            self._watch,
            template=self._template,
            unseen=False,  # the overlaps are declared; equal ids of two logs say nothing
        )

    def k_of(self, target: str) -> float:
        """Return K% of a target in percent: at least one item."""
        return usable_k_percent(self.domains[target].num_items, self.k_percent)

    def facts(self, study: Study) -> dict[str, Any]:
        """Return the facts about the target of a study that its table states, plain JSON."""
        domain = study.targets[0].domain
        users, percent = study.users(domain), self.k_of(domain.name)
        return {
            "target": domain.name,
            "sources": [source.name for source in study.sources],
            "num_items": domain.num_items,
            "num_interactions": domain.num_interactions,
            "num_users": len(users),
            "num_queries": num_queries(domain, users),
            "times": time_kind(domain).to_json(),
            "k_percent": percent,
            "k_items": top_k_size(domain.num_items, percent),
            "k_raised": percent != self.k_percent,
        }

    def num_interactions(self, names: Iterable[str]) -> int:
        """Return the number of interactions in some domains together."""
        return sum(self.domains[name].num_interactions for name in names)

    def about(self, targets: Sequence[str]) -> dict[str, Any]:
        """Return the settings behind all numbers, plain JSON."""
        about = self.study(targets[0], []).about()
        kept = ("split", "split_seed", "seeds", "max_queries", "settings", "encoder", "window", "version")
        return {
            "corpus": list(self.domains),
            "may_be_sources": self.may_be_sources,
            "overlaps": [sorted(group) for group in self.overlaps],
            "targets": list(targets),
            "k_percent": self.k_percent,
            **{name: about[name] for name in kept},
        }

    def _encode(self, name: str) -> EncodedDomain:
        if name not in self._encoded:
            self._encoded[name] = self._template.encode(self.domains[name])
        return self._encoded[name]

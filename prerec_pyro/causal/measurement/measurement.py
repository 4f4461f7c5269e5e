"""Settings of a measurement: queries, metrics, list length and bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from prerec_pyro.causal.measurement.alternatives import AlternativeScores, Queries, RankedLists, rank_alternatives
from prerec_pyro.causal.measurement.estimates import Estimates, estimate
from prerec_pyro.causal.measurement.exposure import popularity_groups
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.splits import SplitName, split_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import EXPOSURE_SIZE


class MeasurementOptions(TypedDict, total=False):
    """Keyword arguments of `Measurement`, for methods that pass them on."""

    split: SplitName
    split_seed: int
    users: np.ndarray | None
    k_percent: float
    list_size: int
    draws: int
    seed: int
    progress: Callable[[int], None] | None


@dataclass(frozen=True, eq=False)
class Measurement:
    """Queries to measure on, length of the lists, and number of bootstrap draws.

    Attributes
    ----------
    split
        Part of the 4:3:3 split of users: ``"test"``, ``"validation"`` or ``"train"``.
    split_seed
        Seed of the split.
    users
        ``(n,)`` user rows, in place of a split.
    k_percent
        K% in percent, for recall and r-NDCG.
    list_size
        Length of the lists, for exposure; shorter where the domain has fewer items.
    draws
        Number of bootstrap draws of users.
    seed
        Seed of the bootstrap.
    progress
        Called with the number of queries of each finished batch.

    Examples
    --------
    >>> Measurement(split="validation", k_percent=1.0).list_size
    20
    >>> Measurement(draws=0)
    Traceback (most recent call last):
    prerec_pyro.errors.InputError: draws is 0, expected 1 or more
    """

    split: SplitName = "test"
    split_seed: int = 0
    users: np.ndarray | None = None
    k_percent: float = 0.5
    list_size: int = EXPOSURE_SIZE
    draws: int = 1000
    seed: int = 0
    progress: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        for name, value in (("list_size", self.list_size), ("draws", self.draws)):
            if value < 1:
                raise InputError(f"{name} is {value}, expected 1 or more")

    def user_rows(self, encoded: EncodedDomain) -> np.ndarray:
        """Return the rows of the measured users, ``(n,)``."""
        if self.users is not None:
            return self.users
        return split_users(encoded.domain, self.split_seed).users(self.split)

    def rank(self, scores: AlternativeScores, number: int, encoded: EncodedDomain) -> tuple[Queries, list[RankedLists]]:
        """Return the queries and the results of `number` alternatives for them; see `rank_alternatives`."""
        return rank_alternatives(
            scores,
            number,
            encoded,
            self.user_rows(encoded),
            k_percent=self.k_percent,
            list_size=self.list_size,
            progress=self.progress,
        )

    def estimates(
        self, encoded: EncodedDomain, queries: Queries, alternatives: Sequence[Sequence[RankedLists]]
    ) -> list[Estimates]:
        """Return accuracy and exposure of each alternative; the first one is the reference. See `estimate`."""
        return estimate(queries, alternatives, item_tenths(encoded), draws=self.draws, seed=self.seed)

    def facts(self, encoded: EncodedDomain, queries: Queries) -> dict[str, Any]:
        """Return the settings and sizes behind the numbers, plain JSON."""
        return {
            "domain": encoded.name,
            "split": None if self.users is not None else self.split,
            "split_seed": None if self.users is not None else self.split_seed,
            "num_queries": len(queries.users),
            "num_users": len(np.unique(queries.users)),
            "num_items": encoded.num_items,
            "k_percent": self.k_percent,
            "list_size": min(self.list_size, encoded.num_items),
        }


def item_tenths(encoded: EncodedDomain) -> np.ndarray:
    """Return the tenth of the catalogue of each item by its interactions in the whole log, ``(num_items,)``, from 0."""
    return popularity_groups(np.bincount(encoded.domain.item_index, minlength=encoded.num_items))

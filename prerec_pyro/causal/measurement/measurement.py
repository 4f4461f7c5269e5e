"""On whose queries a causal question is measured, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prerec_pyro.causal.measurement.answers import Answers, Lists, Queries, answer_all
from prerec_pyro.causal.measurement.estimates import Estimates, estimate
from prerec_pyro.causal.measurement.exposure import popularity_groups
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.splits import SplitName, split_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import EXPOSURE_SIZE


@dataclass(frozen=True, eq=False)
class Measurement:
    """Whose queries, how long the lists, and how many draws the intervals are made of.

    Attributes
    ----------
    split, split_seed
        Users, of the 4:3:3 split: ``"test"``, ``"validation"`` or ``"train"``.
    users
        ``(n,)`` user rows instead of a split.
    k_percent
        K% in percent, for recall and r-NDCG.
    list_size
        Items shown to a user, for exposure; fewer where there are fewer.
    draws, seed
        Of the bootstrap over users.
    progress
        Called with the number of queries of each finished batch.
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
        for name in ("list_size", "draws"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected 1 or more")

    def whose(self, encoded: EncodedDomain) -> np.ndarray:
        """Return the user rows."""
        if self.users is not None:
            return self.users
        return split_users(encoded.domain, self.split_seed).users(self.split)

    def lists(self, answers: Answers, number: int, encoded: EncodedDomain) -> tuple[Queries, list[Lists]]:
        """Return the queries and what each of `number` answers makes of them; see `answer_all`."""
        asked = {"k_percent": self.k_percent, "list_size": self.list_size, "progress": self.progress}
        return answer_all(answers, number, encoded, self.whose(encoded), **asked)

    def estimates(self, encoded: EncodedDomain, queries: Queries, answers: list[list[Lists]]) -> list[Estimates]:
        """Return accuracy and exposure of each answer; the first is the reference. See `estimate`."""
        return estimate(queries, answers, groups_of(encoded), draws=self.draws, seed=self.seed)

    def facts(self, encoded: EncodedDomain, queries: Queries) -> dict[str, Any]:
        """Return what a number rests on, plain JSON."""
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


def groups_of(encoded: EncodedDomain) -> np.ndarray:
    """Return the tenth of the catalogue that each item is in by its interactions in the whole log, ``(num_items,)``."""
    return popularity_groups(np.bincount(encoded.domain.item_index, minlength=encoded.num_items))

"""Users into train, validation and test, 4:3:3, by a hash of their ids (appendix C.1 of the paper)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from prerec_pyro.data.domain import Domain

SplitName = Literal["train", "validation", "test"]
_SHARES = (4, 3, 3)


@dataclass(frozen=True, eq=False)
class UserSplit:
    """Rows of ``domain.user_ids``, each a sorted int64 array; the three are disjoint and cover all users."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def users(self, name: SplitName) -> np.ndarray:
        """Return the user rows of one part, sorted.

        Raises
        ------
        ValueError
            If there is no such part.
        """
        if name not in ("train", "validation", "test"):
            raise ValueError(f"no split {name!r}; expected 'train', 'validation' or 'test'")
        return getattr(self, name)


def split_users(domain: Domain, seed: int = 0) -> UserSplit:
    """Return a 4:3:3 split of the users, by count.

    It depends on the set of user ids and on `seed` alone: not on the order of rows, the platform or a
    library's random numbers. Users are ranked by a keyed hash of their id; the first 40 % train, the next 30
    % validate, the rest test. Where the numbers do not divide, the largest remainders get one user more.
    """
    key = hashlib.blake2b(str(int(seed)).encode(), digest_size=8).hexdigest()  # 16 characters, as SipHash wants
    hashes = pd.util.hash_array(domain.user_ids, hash_key=key)
    # Two ids may share a hash: the id itself then decides, so that row order never does.
    ranked = pd.DataFrame({"hash": hashes, "id": domain.user_ids}).sort_values(["hash", "id"]).index.to_numpy()
    train, validation, _ = np.cumsum(_counts(domain.num_users))
    parts = np.split(ranked.astype(np.int64), [train, validation])
    return UserSplit(*(np.sort(part) for part in parts))


def _counts(num_users: int) -> list[int]:
    """Share out `num_users` by largest remainder, in whole numbers throughout."""
    total = sum(_SHARES)
    counts = [num_users * share // total for share in _SHARES]
    remainders = [num_users * share % total for share in _SHARES]
    for part in sorted(range(len(_SHARES)), key=lambda part: -remainders[part])[: num_users - sum(counts)]:
        counts[part] += 1
    return counts

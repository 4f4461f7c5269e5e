"""Split of the users into train, validation and test, 4:3:3, by a hash of their ids (appendix C.1 of the paper)."""

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
    """The three parts of a split.

    Attributes
    ----------
    train, validation, test
        Sorted int64 rows of ``domain.user_ids``; the three are disjoint and cover all users.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def users(self, name: SplitName) -> np.ndarray:
        """Return the user rows of one part, sorted.

        Raises
        ------
        ValueError
            If `name` is no part of a split.
        """
        if name not in ("train", "validation", "test"):
            raise ValueError(f"no split {name!r}; expected 'train', 'validation' or 'test'")
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def split_users(domain: Domain, seed: int = 0) -> UserSplit:
    """Return a 4:3:3 split of the users, by number of users.

    The split depends only on the set of user ids and on `seed`, not on the order of rows, the platform or the random
    numbers of a library. Users are ranked by a keyed hash of their id: the first 40 % are for training, the next 30 %
    for validation, the rest for testing. Where the numbers do not divide evenly, the parts with the largest remainders
    get one more user.

    Examples
    --------
    >>> from prerec_pyro.data import Domain, split_users
    >>> users = [f"user {number}" for number in range(10)]
    >>> split = split_users(Domain("shop", ["tea"], ["green tea"], users, range(11), [0] * 10), seed=0)
    >>> split.train, split.validation, split.test
    (array([0, 1, 3, 9]), array([5, 7, 8]), array([2, 4, 6]))
    """
    key = hashlib.blake2b(str(int(seed)).encode(), digest_size=8).hexdigest()  # 16 characters, as SipHash requires
    hashes = pd.util.hash_array(domain.user_ids, hash_key=key)
    # Two ids may share a hash: then the id decides, so that the order of rows never matters.
    ranked = pd.DataFrame({"hash": hashes, "id": domain.user_ids}).sort_values(["hash", "id"]).index.to_numpy()
    train, validation, _ = np.cumsum(_counts(domain.num_users))
    parts = np.split(ranked.astype(np.int64), [train, validation])
    return UserSplit(*(np.sort(part) for part in parts))


def _counts(num_users: int) -> list[int]:
    """Return the sizes of the three parts by the method of largest remainders, in integer arithmetic."""
    total = sum(_SHARES)
    counts = [num_users * share // total for share in _SHARES]
    remainders = [num_users * share % total for share in _SHARES]
    for part in sorted(range(len(_SHARES)), key=lambda part: -remainders[part])[: num_users - sum(counts)]:
        counts[part] += 1
    return counts

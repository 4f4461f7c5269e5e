from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.splits import UserSplit, split_users

GOLDEN = ([0, 2, 9, 10, 12, 13, 14, 16], [3, 6, 7, 17, 18, 19], [1, 4, 5, 8, 11, 15])
PARTS = ("train", "validation", "test")


def domain_of(user_ids: list[str]) -> Domain:
    """A domain in which each user has one event."""
    return Domain(
        name="users",
        item_ids=["a"],
        item_texts=["apple"],
        user_ids=user_ids,
        offsets=np.arange(len(user_ids) + 1),
        item_index=np.zeros(len(user_ids)),
    )


def by_id(split: UserSplit, user_ids: list[str]) -> dict[str, str]:
    return {user_ids[row]: part for part in PARTS for row in split.users(part)}


_users = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), unique=True, min_size=1, max_size=60)


@settings(deadline=None)
@given(_users, st.integers(-5, 2**70))
def test_parts_are_disjoint_cover_all_and_have_the_right_sizes(user_ids: list[str], seed: int) -> None:
    split = split_users(domain_of(user_ids), seed)
    assert np.array_equal(
        np.sort(np.concatenate([split.train, split.validation, split.test])), np.arange(len(user_ids))
    )
    for part, share in zip(PARTS, (0.4, 0.3, 0.3), strict=True):
        rows = split.users(part)
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
        assert abs(len(rows) - share * len(user_ids)) < 1


@settings(deadline=None)
@given(_users, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(user_ids: list[str], random: object) -> None:
    shuffled = list(user_ids)
    random.shuffle(shuffled)
    first = by_id(split_users(domain_of(user_ids), 3), user_ids)
    assert by_id(split_users(domain_of(shuffled), 3), shuffled) == first


@pytest.mark.parametrize(
    ("users", "sizes"),
    [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (4, (2, 1, 1)), (5, (2, 2, 1)), (10, (4, 3, 3))],
)
def test_largest_remainder(users: int, sizes: tuple[int, int, int]) -> None:
    split = split_users(domain_of([str(number) for number in range(users)]))
    assert (len(split.train), len(split.validation), len(split.test)) == sizes


def test_the_split_is_the_same_on_every_machine() -> None:
    split = split_users(domain_of([f"user {number}" for number in range(20)]), seed=7)
    assert tuple(split.users(part).tolist() for part in PARTS) == GOLDEN


def test_seeds_give_unrelated_splits() -> None:
    domain = domain_of([str(number) for number in range(2000)])
    first, second = split_users(domain, 0).test, split_users(domain, 1).test
    # 600 of 2000 each: the expected overlap is 180, with standard deviation 11
    assert 120 < len(np.intersect1d(first, second)) < 240
    assert np.array_equal(first, split_users(domain).test)


def test_equal_hashes_are_ordered_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pandas.util.hash_array", lambda ids, hash_key: np.zeros(len(ids), dtype=np.uint64))
    split = split_users(domain_of(["c", "a", "b"]))
    assert (split.train.tolist(), split.validation.tolist(), split.test.tolist()) == ([1], [2], [0])


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="no split 'dev'; expected 'train', 'validation' or 'test'"):
        split_users(domain_of(["a"])).users("dev")

"""The first N samples of a domain: nested, exact and reproducible; a random part of its users."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.training_batches import epoch
from prerec_pyro.data.batching.windows import training_windows
from prerec_pyro.data.subsets import first_samples, random_users
from prerec_pyro.errors import InputError
from tests.support.graphs import make_domain, make_encoded

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def samples(lengths: list[int], number: int | None, seed: int = 0) -> dict[int, int]:
    domain = make_domain(lengths=lengths)
    users, kept = first_samples(domain, np.arange(len(lengths)), number, seed)
    assert users.tolist() == sorted(users.tolist())
    return dict(zip(users.tolist(), kept.tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 40), st.integers(0, 5))
def test_the_number_is_exact_and_one_sequence_is_cut(lengths: list[int], number: int, seed: int) -> None:
    found = samples(lengths, number, seed)
    assert sum(kept - 1 for kept in found.values()) == min(number, sum(lengths) - len(lengths))
    assert all(2 <= kept <= lengths[user] for user, kept in found.items())
    assert sum(kept < lengths[user] for user, kept in found.items()) <= 1


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 30), st.integers(0, 10), st.integers(0, 5))
def test_fewer_samples_are_contained_in_more(lengths: list[int], number: int, more: int, seed: int) -> None:
    few, many = samples(lengths, number, seed), samples(lengths, number + more, seed)
    assert all(kept <= many[user] for user, kept in few.items())


def test_none_takes_all_users_with_a_query() -> None:
    assert samples([3, 1, 5], None) == {0: 3, 2: 5} == samples([3, 1, 5], 10**9)


def test_only_the_given_users_count() -> None:
    domain = make_domain()
    users, lengths = first_samples(domain, np.array([8, 4, 1]), 100)
    assert (users.tolist(), lengths.tolist()) == ([4, 8], [7, 4])


def test_the_order_depends_on_ids_and_seed() -> None:
    domain = make_domain(lengths=[2] * 40)
    all_users = np.arange(40)
    chosen = [set(domain.user_ids[first_samples(domain, all_users, 10, seed)[0]]) for seed in range(4)]
    assert len({frozenset(one) for one in chosen}) == 4
    backwards = dataclasses.replace(domain, user_ids=domain.user_ids[::-1].copy())
    assert set(backwards.user_ids[first_samples(backwards, all_users, 10, 2)[0]]) == chosen[2]
    # No user is preferred: over many seeds, each user is chosen about a quarter of the time.
    times = np.zeros(40)
    for seed in range(200):
        times[first_samples(domain, all_users, 10, seed)[0]] += 1
    assert 20 < times.min() <= times.max() < 85  # 50 on average, standard deviation 6


@pytest.mark.parametrize("number", [0, -3])
def test_no_sample_is_refused(number: int) -> None:
    with pytest.raises(InputError, match=rf"{number} training samples: expected 1 or more"):
        first_samples(make_domain(), np.arange(3), number)


def test_an_epoch_reads_only_the_first_events_of_each_user() -> None:
    encoded = make_encoded(lengths=(70, 9, 1, 5), num_items=30)
    users, lengths = np.array([0, 1, 3]), np.array([66, 4, 5])
    offsets, rng = encoded.domain.offsets, np.random.default_rng(0)
    windows = training_windows(offsets, users, rng, lengths=lengths)
    read = np.concatenate([np.arange(s, s + n) for s, n in zip(windows.start, windows.length, strict=True)])
    expected = np.concatenate([offsets[u] + np.arange(n - 1) for u, n in zip(users, lengths, strict=True)])
    assert sorted(read) == expected.tolist()
    options = {"domain": 0, "first_row": 0, "num_negatives": 3, "max_tokens": 40}
    batches = [make() for make in epoch(encoded, users, **options, rng=rng, lengths=lengths)]
    assert sum(batch.num_queries for batch in batches) == 65 + 3 + 4
    assert {batch.num_domain_queries for batch in batches} == {65 + 3 + 4}
    targets = [item for batch in batches for item in batch.items[batch.targets].tolist()]
    assert sorted(targets) == sorted(encoded.domain.item_index[expected + 1].tolist())


def test_all_samples_are_no_limit() -> None:
    encoded = make_encoded(lengths=(70, 9, 1, 5), num_items=30)
    users, lengths = first_samples(encoded.domain, np.arange(4), None)
    options = {"domain": 0, "first_row": 0, "num_negatives": 3, "max_tokens": 40}
    limited = epoch(encoded, users, **options, rng=np.random.default_rng(0), lengths=lengths)
    free = epoch(encoded, np.arange(4), **options, rng=np.random.default_rng(0))
    for make_one, make_other in zip(limited, free, strict=True):
        one, other = make_one(), make_other()
        assert one.items[one.history].tolist() == other.items[other.history].tolist()
        assert one.items[one.negatives].tolist() == other.items[other.negatives].tolist()


def test_random_users_reach_the_number_of_queries() -> None:
    domain = make_domain(lengths=[1 + user % 8 for user in range(300)])
    queries, users = np.diff(domain.offsets) - 1, np.arange(50, 300)
    drawn = random_users(domain, users, 200)
    assert set(drawn) < set(users)
    assert drawn.tolist() == sorted(set(drawn)) == random_users(domain, users, 200).tolist()
    assert 200 <= queries[drawn].sum() < 200 + queries.max()
    assert drawn.max() > 250, "drawn from all, not the first"
    assert random_users(domain, users, 10_000).tolist() == users.tolist()
    assert not len(random_users(domain, users[:0], 10))


def test_random_users_depend_on_the_seed() -> None:
    domain, users = make_domain(lengths=[3] * 100), np.arange(100)
    seeds = (0, 1, (0, 7), (1, 7))
    assert len({tuple(random_users(domain, users, 20, seed=seed)) for seed in seeds}) == len(seeds)
    drawn = np.random.default_rng([5, 7]).permutation(users)[:10]
    assert random_users(domain, users, 20, seed=(5, 7)).tolist() == sorted(drawn)

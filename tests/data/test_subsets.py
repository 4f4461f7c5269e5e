"""The first N samples of a market: nested, exact, and the same whoever asks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.batch import epoch
from prerec_pyro.data.batching.windows import training_windows
from prerec_pyro.data.subsets import first_samples
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
def test_the_number_is_met_exactly_with_one_sequence_cut(lengths: list[int], number: int, seed: int) -> None:
    found = samples(lengths, number, seed)
    assert sum(kept - 1 for kept in found.values()) == min(number, sum(lengths) - len(lengths))
    assert all(2 <= kept <= lengths[user] for user, kept in found.items())
    assert sum(kept < lengths[user] for user, kept in found.items()) <= 1


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 30), st.integers(0, 10), st.integers(0, 5))
def test_fewer_samples_are_among_more(lengths: list[int], number: int, more: int, seed: int) -> None:
    few, many = samples(lengths, number, seed), samples(lengths, number + more, seed)
    assert all(kept <= many[user] for user, kept in few.items())


def test_none_is_all_who_have_a_query() -> None:
    assert samples([3, 1, 5], None) == {0: 3, 2: 5} == samples([3, 1, 5], 10**9)


def test_only_the_users_asked_for_are_taken() -> None:
    domain = make_domain()
    users, lengths = first_samples(domain, np.array([8, 4, 1]), 100)
    assert (users.tolist(), lengths.tolist()) == ([4, 8], [7, 4])


def test_the_order_is_that_of_the_ids_and_the_seed() -> None:
    domain = make_domain(lengths=[2] * 40)
    everybody = np.arange(40)
    chosen = [set(domain.user_ids[first_samples(domain, everybody, 10, seed)[0]]) for seed in range(4)]
    assert len({frozenset(one) for one in chosen}) == 4
    backwards = dataclasses.replace(domain, user_ids=domain.user_ids[::-1].copy())
    assert set(backwards.user_ids[first_samples(backwards, everybody, 10, 2)[0]]) == chosen[2]
    # No seed prefers anybody: over many of them each user is taken about a quarter of the time.
    times = np.zeros(40)
    for seed in range(200):
        times[first_samples(domain, everybody, 10, seed)[0]] += 1
    assert 20 < times.min() <= times.max() < 85  # 50 on average, standard deviation 6


@pytest.mark.parametrize("number", [0, -3])
def test_no_sample_is_refused(number: int) -> None:
    with pytest.raises(InputError, match=rf"{number} training samples: expected 1 or more"):
        first_samples(make_domain(), np.arange(3), number)


def test_an_epoch_reads_the_first_events_of_each_user_and_no_more() -> None:
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
    asked = [item for batch in batches for item in batch.items[batch.targets].tolist()]
    assert sorted(asked) == sorted(encoded.domain.item_index[expected + 1].tolist())


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

"""Levels of Z: how keys are numbered, and the levels of newcomers, against raised counts item by item."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.popularity_levels import _numbered, popularity_fields
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.data.newcomers import ItemAges, NewcomerPopularity
from prerec_pyro.data.times import SECONDS_PER_DAY

WINDOW = 6
LEARNT = NewcomerPopularity(np.array([3.0, 2.5, 2.25, 2.0, 1.75, 1.5]), unseen=0.5, num_domains=3)


def world(until: int = 60) -> EncodedDomain:
    """Items that appear one after the other, some listed before their first event, with the events before a day."""
    rng = np.random.default_rng(0)
    born = rng.integers(0, 55, 40)
    events = [(day, item) for item in range(40) for day in range(born[item], 60) if rng.random() < 0.3]
    days, items = np.array(sorted(event for event in events if event[0] < until)).T
    ids = [f"i{item}" for item in range(42)]
    first_seen = [*np.where(np.arange(40) % 3, -1, 100 + born - 2), 110, -1]  # the last two have no events
    domain = Domain("shop", ids, ids, ["u"], [0, len(days)], items, (100 + days) * SECONDS_PER_DAY)
    domain = dataclasses.replace(domain, first_seen=first_seen, embeddings=rng.standard_normal((42, 3)))
    return encode_domain(domain, window=WINDOW).with_other_windows((2, 20))


def by_hand(encoded: EncodedDomain, slots: np.ndarray) -> list[np.ndarray]:
    """F of every item in each slot, (num_slots, num_items, 4), in each window."""
    ages = ItemAges(encoded.domain, encoded.popularity).at(slots)
    return [
        one.factors(LEARNT.raised(one.counts_of_all(slots), ages, one.window), slots[:, None])
        for one in (encoded.popularity, *encoded.other_popularity)
    ]


SLOTS = np.array([4, 15, 16, 40, 60])


def test_newcomers_have_the_factors_of_raised_counts_in_each_window() -> None:
    encoded = world()
    raised = encoded.with_newcomers(LEARNT)
    expected = by_hand(encoded, SLOTS)
    fields, counts = popularity_fields(raised, SLOTS, np.arange(5), None)
    np.testing.assert_array_equal(counts, encoded.popularity.counts_of_all(SLOTS))
    factors = fields["factors"].numpy()
    np.testing.assert_allclose(factors[fields["candidate_level"]], expected[0], rtol=1e-6)
    np.testing.assert_allclose(factors[fields["window_level"]], expected[1:], rtol=1e-6)
    assert (np.diff(fields["level_window"].numpy()) >= 0).all()
    plain, _ = popularity_fields(encoded, SLOTS, np.arange(5), None)
    assert not np.allclose(plain["factors"][plain["candidate_level"]], expected[0])
    assert len(factors) < 3 * len(SLOTS) * 30, "items of an age and a count share a level"


def test_candidates_and_targets_have_them_too() -> None:
    encoded = world().with_newcomers(LEARNT)
    expected = by_hand(encoded, SLOTS)
    rng = np.random.default_rng(1)
    candidates, targets, slot = rng.integers(0, 42, 30), rng.integers(0, 42, 50), rng.integers(0, 5, 50)
    fields, _ = popularity_fields(encoded, SLOTS, slot, candidates, targets)
    factors = fields["factors"].numpy()
    np.testing.assert_allclose(factors[fields["candidate_level"]], expected[0][:, candidates], rtol=1e-6)
    np.testing.assert_allclose(factors[fields["target_level"]], expected[0][slot, targets], rtol=1e-6)
    for window in (1, 2):
        level = fields["window_level"][window - 1]
        np.testing.assert_allclose(factors[level], expected[window][:, candidates], rtol=1e-6)
        level = fields["target_window_level"][window - 1]
        np.testing.assert_allclose(factors[level], expected[window][slot, targets], rtol=1e-6)


@pytest.mark.parametrize("day", [20, 40])
def test_later_events_change_nothing(day: int) -> None:
    whole, cut = (one.with_newcomers(LEARNT) for one in (world(), world(until=day)))
    slot = np.array([day - 4])  # not the last slot of the cut log, where what is listed later counts as listed
    assert slot < cut.popularity.last_slot
    parts = [popularity_fields(one, slot, np.zeros(1, np.int64), None) for one in (whole, cut)]
    for name in ("candidate_level", "window_level"):
        found, expected = (fields["factors"][fields[name]] for fields, _ in parts)
        np.testing.assert_array_equal(found, expected)


def test_a_domain_without_times_or_without_a_table_stays_as_it_is() -> None:
    encoded = world()
    assert encoded.newcomers is None
    assert encoded.with_newcomers(None) is encoded
    assert encoded.with_newcomers(LEARNT).with_newcomers(None).newcomers is None
    assert encoded.with_newcomers(LEARNT).whitened(0.5).newcomers is not None
    static = encode_domain(dataclasses.replace(encoded.domain, timestamps=None))
    assert static.with_newcomers(LEARNT) is static


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=40), st.integers(31, 400))
def test_keys_are_numbered_as_by_sorting_them(keys: list[int], limit: int) -> None:
    """Few possible keys are marked in a table, many are sorted; the result is the same."""
    level, row = _numbered(np.array(keys, np.int64), limit)
    expected, expected_row = np.unique(np.array(keys, np.int64), return_inverse=True)
    assert level.tolist() == expected.tolist()
    assert row.tolist() == expected_row.tolist()

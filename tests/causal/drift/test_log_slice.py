"""Queries between two times, against a loop over the log."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.causal.drift import log_slice
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError
from tests.support.models import FIRST_DAY, small_domain, small_encoded


def targets(windows) -> list[int]:
    return sorted(
        event
        for start, length, number in zip(windows.start, windows.length, windows.num_queries, strict=True)
        for event in range(start + length - number + 1, start + length + 1)
    )


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99), start=st.none() | st.floats(0, 15), end=st.none() | st.floats(0, 15))
def test_queries_are_the_events_in_between_that_follow_another(seed, start, end):
    domain = small_domain(num_users=6, seed=seed)
    start, end = (None if day is None else int((FIRST_DAY + day) * SECONDS_PER_DAY) for day in (start, end))
    expected = [
        event
        for event, second in enumerate(domain.timestamps)
        if event not in domain.offsets and (start is None or second >= start) and (end is None or second < end)
    ]
    if not expected:
        with pytest.raises(InputError, match="nothing to predict"):
            log_slice.between(domain, start, end)
        return
    windows = log_slice.between(domain, start, end)
    assert targets(windows) == expected
    first = domain.offsets[domain.user_of_event[windows.start]]
    assert (windows.start == first).all(), "short histories are read in full"
    assert (windows.num_queries <= windows.length).all()


def test_the_last_64_events_of_a_long_history_are_predicted():
    domain = small_domain(num_users=2)
    long = type(domain)(
        **{
            **{name: getattr(domain, name) for name in ("name", "item_ids", "item_texts", "embeddings")},
            "user_ids": np.array(["x"], dtype=object),
            "offsets": np.array([0, 100]),
            "item_index": np.arange(100) % domain.num_items,
            "timestamps": np.arange(100),
        }
    )
    assert targets(log_slice.between(long, 10, None)) == list(range(36, 100))
    assert targets(log_slice.between(long, 10, 90)) == list(range(26, 90))
    assert targets(log_slice.between(long, 95, None)) == list(range(95, 100))


def test_a_sample_holds_enough_whole_windows():
    windows = log_slice.between(small_domain(num_users=40), None, None)
    rows = log_slice.sample(windows, 30, np.random.default_rng(0))
    sizes = windows.num_queries[rows]
    assert sizes.sum() >= 30 > sizes[:-1].sum()
    assert len(set(rows.tolist())) == len(rows)
    assert len(log_slice.sample(windows, 10**6, np.random.default_rng(0))) == len(windows)


def test_batches_hold_every_query_once():
    encoded = small_encoded(num_users=12)
    windows = log_slice.between(encoded.domain, None, None)
    events = np.concatenate([batch.events.numpy() for batch in log_slice.batches(encoded, windows, max_scores=100)])
    assert sorted(events.tolist()) == targets(windows)


def test_a_log_without_times_has_no_later_part():
    with pytest.raises(InputError, match="has no timestamps, only an order"):
        log_slice.between(small_domain(timestamps=False), None, None)

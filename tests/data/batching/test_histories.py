from __future__ import annotations

import itertools
import logging

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.histories import Histories, known_users, moment, new_users, slot_of
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError
from tests.support.graphs import make_encoded


def lists(histories: Histories) -> dict[str, list[int]]:
    """Items of each user, oldest first."""
    ends = histories.offsets.tolist()
    pairs = zip(histories.user_ids, itertools.pairwise(ends), strict=True)
    return {user: histories.items[start:end].tolist() for user, (start, end) in pairs}


def log_before(encoded: EncodedDomain, seconds: float = np.inf) -> dict[str, list[int]]:
    """The same from the log, read row by row."""
    domain, found = encoded.domain, {}
    for event, item in enumerate(domain.item_index.tolist()):
        if domain.timestamps is None or domain.timestamps[event] < seconds:
            found.setdefault(domain.user_ids[domain.user_of_event[event]], []).append(item)
    return found


def test_all_users_at_the_end_of_the_log(timed: EncodedDomain, untimed: EncodedDomain) -> None:
    for world in (timed, untimed):
        histories = known_users(world, None, None, 64)
        assert lists(histories) == log_before(world)
        assert len(histories) == world.domain.num_users
        assert histories.slot == world.popularity.last_slot
    counts = timed.popularity.counts(np.arange(12), timed.popularity.last_slot)
    recent = timed.domain.days > timed.domain.days.max() - 15
    assert counts.tolist() == np.bincount(timed.domain.item_index[recent], minlength=12).tolist()


def test_users_come_in_the_given_order(timed: EncodedDomain) -> None:
    histories = known_users(timed, ["u4", "u0"], None, 64)
    assert list(lists(histories).items()) == [(user, log_before(timed)[user]) for user in ("u4", "u0")]
    with pytest.raises(InputError, match="unknown user ids"):
        known_users(timed, ["u4", "nobody"], None, 64)


@settings(max_examples=60, deadline=None)
@given(st.integers(-2, 45), st.integers(0, SECONDS_PER_DAY - 1))
def test_only_events_before_the_time_count(day: int, second: int) -> None:
    world = make_encoded("timed")
    seconds = (15_000 + day) * SECONDS_PER_DAY + second
    logging.disable(logging.WARNING)
    histories = known_users(world, None, seconds, 64)
    logging.disable(logging.NOTSET)
    assert lists(histories) == log_before(world, seconds)
    assert histories.slot == world.popularity.slots(15_000 + day)


def test_an_event_at_the_time_itself_does_not_count(timed: EncodedDomain) -> None:
    first = int(timed.domain.timestamps[timed.domain.offsets[0]])
    assert "u0" not in lists(known_users(timed, ["u0"], first, 64))
    assert lists(known_users(timed, ["u0"], first + 1, 64))["u0"] == timed.domain.item_index[:1].tolist()


def test_users_without_earlier_events_are_left_out(timed: EncodedDomain, caplog: pytest.LogCaptureFixture) -> None:
    histories = known_users(timed, ["u0", "u1"], 15_000 * SECONDS_PER_DAY, 64)
    assert (len(histories), len(histories.items), histories.offsets.tolist()) == (0, 0, [0])
    assert "2 users have no event before" in caplog.text


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 9), st.integers(1, 10))
def test_padded_keeps_the_most_recent_items(most: int, begin: int, number: int) -> None:
    world = make_encoded("timed")
    histories = known_users(world, None, None, most)
    rows = slice(begin, min(begin + number, 10))
    items, ends = histories.padded(rows)
    everything = list(log_before(world).values())[rows]
    assert items.shape == (len(everything), max(min(len(read), most) for read in everything))
    for row, read in enumerate(everything):
        kept = read[-most:]
        assert items[row, : len(kept)].tolist() == kept
        assert divmod(int(ends[row]), items.shape[1]) == (row, len(kept) - 1)
    row, item = histories.seen(rows)
    expected = [(place, j) for place, read in enumerate(everything) for j in read]  # not only the most recent
    assert list(zip(row.tolist(), item.tolist(), strict=True)) == expected


EVENTS = {"user_id": ["p", "q", "p", "p"], "item_id": ["i3", "i0", "i1", "i2"]}


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, [3, 1, 2]),  # the rows count as in order
        ({"order": [3, 0, 1, 2]}, [1, 2, 3]),
        ({"order": ["10", "1", "9", "2.5"]}, [2, 1, 3]),  # numbers written as text
        ({"timestamp": ["2011-06-03", "2011-06-01", "2011-06-01T10:00", "2011-06-02T00:00Z"]}, [1, 2, 3]),
        ({"timestamp": ["1296086600", "1296086400", "1296086500", "1296086400"]}, [2, 1, 3]),
        ({"timestamp": ["2011-06-02"] + ["2011-06-01"] * 3, "order": [0, 0, 2, 1]}, [2, 1, 3]),  # time, then order
        ({"timestamp": ["2011-06-01"] * 4}, [3, 1, 2]),  # ties keep the order of the rows
    ],
)
def test_new_users_are_read_in_order(timed: EncodedDomain, extra: dict[str, list], expected: list[int]) -> None:
    for frame in (pd.DataFrame(EVENTS | extra), pl.DataFrame(EVENTS | extra)):
        histories = new_users(timed, frame, None, 64)
        assert lists(histories) == {"p": expected, "q": [0]}
        assert histories.slot == timed.popularity.last_slot


def test_only_events_of_a_new_user_before_the_time_count(timed: EncodedDomain) -> None:
    frame = pd.DataFrame(EVENTS | {"timestamp": ["2011-02-03", "2011-02-01", "2011-02-01", "2011-02-02"]})
    histories = new_users(timed, frame, "2011-02-02", 64)
    assert lists(histories) == {"q": [0], "p": [1]}
    assert histories.slot == slot_of(timed, moment(timed, "2011-02-02"))
    with pytest.raises(InputError, match="no event before 2011-02-01"):
        new_users(timed, frame, "2011-02-01", 64)


def test_new_users_may_have_numbers_for_ids(timed: EncodedDomain) -> None:
    assert lists(new_users(timed, pd.DataFrame({"user_id": [7, 7], "item_id": ["i1", "i0"]}), None, 64)) == {
        "7": [1, 0]
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user_id": ["p"]}, "no column item_id; found user_id"),
        ({"user_id": [], "item_id": []}, "the table is empty"),
        ({"user_id": ["p", ""], "item_id": ["i1", "i2"]}, "'user_id': row 2: empty"),
        ({"user_id": ["p", "q"], "item_id": [None, "i2"]}, "'item_id': row 1: empty"),
        ({"user_id": ["p"], "item_id": ["i99"]}, "unknown item ids"),
        ({"user_id": [0.5], "item_id": ["i1"]}, "decimal numbers are no ids"),
        ({"user_id": ["p"], "item_id": ["i1"], "timestamp": ["soon"]}, "'timestamp': row 1: 'soon' cannot be read"),
        ({"user_id": ["p", "p"], "item_id": ["i1", "i2"], "order": [1, None]}, "row 2: no position"),
        ({"user_id": ["p", "p"], "item_id": ["i1", "i2"], "order": ["1", "last"]}, "row 2: 'last' is no number"),
    ],
)
def test_invalid_histories_of_new_users_are_refused(timed: EncodedDomain, table: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        new_users(timed, pd.DataFrame(table), None, 64)


@pytest.mark.parametrize(
    "at",
    ["2011-01-27", "2011-01-27T00:00", "2011-01-27T00:00:00Z", "2011-01-27T02:00+02:00", 1_296_086_400, "1296086400"],
)
def test_times_are_utc(timed: EncodedDomain, at: str | int) -> None:
    assert moment(timed, at) == 1_296_086_400
    assert slot_of(timed, moment(timed, at)) == timed.popularity.slots(15_001)


def test_without_a_time_it_is_the_day_after_the_log(timed: EncodedDomain, untimed: EncodedDomain) -> None:
    assert moment(timed, None) == (int(timed.domain.days.max()) + 1) * SECONDS_PER_DAY
    assert moment(untimed, None) == 0


@pytest.mark.parametrize("at", ["soon", "", "2011-13-01", "9" * 30, "--5"])
def test_invalid_times_are_refused(timed: EncodedDomain, at: str) -> None:
    with pytest.raises(InputError, match="expected an ISO time"):
        moment(timed, at)


def test_a_time_is_refused_where_only_an_order_is_known(untimed: EncodedDomain) -> None:
    with pytest.raises(InputError, match="'untimed' has no timestamps, only an order; leave it out"):
        known_users(untimed, None, "2011-06-01", 64)


def test_unknown_users_are_refused_skipped_or_have_an_empty_history(timed) -> None:
    users = ["new", "u1", "newer"]
    with pytest.raises(InputError, match=r"unknown user ids: 'new', 'newer' \(2 of 3\)"):
        known_users(timed, users, None)
    assert list(lists(known_users(timed, users, None, unknown="skip"))) == ["u1"]
    found = known_users(timed, users, None, unknown="popular")
    assert (found.user_ids.tolist(), found.lengths.tolist()[::2]) == (users, [0, 0])
    assert lists(found)["u1"] == lists(known_users(timed, ["u1"], None))["u1"]
    some = found.only(np.array([2, 1]))
    assert lists(some) == {"newer": [], "u1": lists(found)["u1"]}
    assert some.slot == found.slot
    first = int(timed.domain.timestamps.min())
    early = known_users(timed, ["u0", "new"], first, unknown="popular")
    assert (early.user_ids.tolist(), early.lengths.tolist()) == (["u0", "new"], [0, 0])


def test_a_domain_without_users_has_one_empty_history() -> None:
    domain = Domain("bare", ["a", "b"], ["A", "B"], [], [0], [], embeddings=np.eye(2))
    encoded = encode_domain(domain)
    for found in (known_users(encoded, None, None), known_users(encoded, None, None, unknown="popular")):
        assert (found.user_ids.tolist(), found.offsets.tolist(), len(found.items)) == ([""], [0, 0], 0)
    assert known_users(encoded, ["x", "y"], None).user_ids.tolist() == ["x", "y"]
    assert len(known_users(encoded, None, None, unknown="skip")) == 0
    with pytest.raises(InputError, match="domain 'bare' has no log, so nobody there has a history"):
        known_users(encoded, None, None, unknown="error")
    with pytest.raises(InputError, match="unknown user ids: 'x'"):
        known_users(encoded, ["x"], None, unknown="error")
    with pytest.raises(InputError, match="domain 'bare' has no log; leave it out"):
        known_users(encoded, None, "2024-01-01")

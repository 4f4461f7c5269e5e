"""Kinds of times, and the share of tied events against a count by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.reproduction.corpus.time_kind import TimeKind, time_kind
from tests.support.models import small_domain


def log(*times_of_users: list[int]) -> Domain:
    lengths = [len(times) for times in times_of_users]
    times = np.concatenate([np.array(times) for times in times_of_users])
    users = [f"u{place}" for place in range(len(lengths))]
    return Domain("log", ["tea"], ["tea"], users, np.cumsum([0, *lengths]), [0] * sum(lengths), times)


def test_an_order_has_no_ties() -> None:
    kind = time_kind(small_domain(timestamps=False))
    assert (kind.kind, kind.tied, str(kind)) == ("order", None, "order only")


def test_ties_are_those_of_one_user() -> None:
    day = SECONDS_PER_DAY
    kind = time_kind(log([day, day, 2 * day], [2 * day, 2 * day, 2 * day, 9 * day]))
    assert (kind.kind, kind.tied) == ("days", pytest.approx(5 / 7))
    assert str(kind) == "days, 71 % tied"
    assert time_kind(log([day], [day])).tied == 0, "events of two users"


def test_midnight_may_be_that_of_another_zone() -> None:
    day, hours = SECONDS_PER_DAY, 57_600
    assert str(time_kind(log([day + hours, day + hours, 2 * day + hours], [day + hours]))) == "days, 50 % tied"


def test_a_small_share_is_not_said_to_be_none() -> None:
    assert str(TimeKind("times", 0.004)) == "times, under 1 % tied"


def test_finer_times_tie_by_the_second() -> None:
    day = SECONDS_PER_DAY
    kind = time_kind(log([day, day + 1, day + 1], [day + 1]))
    assert (str(kind), kind.tied) == ("times, 50 % tied", 0.5)
    assert str(time_kind(log([day, day + 1]))) == "times"


def test_ties_agree_with_brute_force() -> None:
    domain = small_domain(num_users=40)
    domain = replace(domain, timestamps=domain.days.astype(np.int64) * SECONDS_PER_DAY)
    keys = list(zip(domain.user_of_event.tolist(), domain.timestamps.tolist(), strict=True))
    tied = np.mean([keys.count(key) > 1 for key in keys])
    assert 0.1 < tied < 0.9
    assert time_kind(domain).tied == pytest.approx(tied)

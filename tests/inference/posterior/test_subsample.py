"""Samples of a log: bounds, weights, and the same draw for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.subsample import LogSample, sample_log
from tests.support.models import small_encoded

ENCODED = small_encoded(num_items=15, num_users=60)
USERS = np.arange(10, 60)


def events(sample: LogSample) -> set[int]:
    return set(torch.cat([batch.events for batch in sample.batches(sample.evaluated)]).tolist())


def test_without_bounds_every_choice_of_the_users_is_evaluated_once() -> None:
    sample = sample_log(ENCODED, USERS, max_log=None, queries=None)
    first = ENCODED.domain.offsets[USERS]
    expected = set(range(int(first[0]), len(ENCODED.domain.item_index))) - set(first.tolist())
    assert events(sample) == expected
    assert sample.num_log == sample.num_given == sample.num_evaluated == len(expected)
    assert sample.weight == 1.0


def test_bounds_are_passed_by_less_than_one_user() -> None:
    longest = int(np.diff(ENCODED.domain.offsets).max())
    sample = sample_log(ENCODED, USERS, max_log=100, queries=40)
    assert 40 <= sample.num_evaluated < 40 + longest
    assert 100 <= sample.num_given < 100 + longest
    assert sample.num_given < sample.num_log
    assert sample.weight == pytest.approx(sample.num_given / sample.num_evaluated)
    assert set(ENCODED.domain.user_of_event[sorted(events(sample))]) <= set(USERS)


def test_the_seed_decides_the_draw() -> None:
    one, same, other = (events(sample_log(ENCODED, USERS, max_log=100, queries=40, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("bound", ["max_log", "queries"])
def test_a_bound_below_one_is_refused(bound: str) -> None:
    with pytest.raises(InputError, match=f"{bound} is 0, expected 1 or more"):
        sample_log(ENCODED, USERS, **({"max_log": None, "queries": None} | {bound: 0}))


def test_a_log_without_choices_is_refused() -> None:
    with pytest.raises(InputError, match="no training user has two events"):
        sample_log(ENCODED, np.zeros(0, np.int64), max_log=None, queries=None)

"""The batches of an epoch: as many as there is data, shared among the sources by a power of their size."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from prerec_pyro.training.batch_schedule import BatchSchedule, expected_batches, rounded_at_random
from prerec_pyro.training.distributed import Processes
from tests.support.models import small_encoded, small_sources, training

SIZES = np.array([1_000.0, 16_000.0, 81_000.0, 400_000.0])


def schedule(sizes, *, size: int = 1, together: bool = False, seed: int = 0, **recipe) -> BatchSchedule:
    """Return the schedule of sources of which only the numbers of queries matter."""
    sources = [SimpleNamespace(num_queries=int(n)) for n in sizes]
    return BatchSchedule(sources, training(batch_tokens=100, seed=seed, **recipe), Processes(0, size), together)


def counts(one: BatchSchedule, number: int) -> np.ndarray:
    return np.bincount(one.schedule(number)[:, 0], minlength=len(one.sources))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_an_epoch_costs_as_much_as_there_is_data(exponent: float) -> None:
    one = schedule(SIZES, source_exponent=exponent)
    wanted = 4980 * SIZES**exponent / (SIZES**exponent).sum()
    np.testing.assert_allclose(one.expected_batches, wanted)
    for number in range(20):
        found = counts(one, number)
        assert found.sum() == 4980
        assert (np.abs(found - wanted) < 1).all()


def test_a_small_source_gets_its_least_number_and_the_others_share_the_rest() -> None:
    one = schedule(SIZES, source_exponent=1.0, min_steps=200)
    rest = 4980 - 2 * 200
    np.testing.assert_allclose(one.expected_batches, [200, 200, rest * 81 / 481, rest * 400 / 481])
    assert (counts(one, 3)[:2] == 200).all()
    np.testing.assert_array_equal(expected_batches(SIZES, 100, 0.5, 60), [60] * 4), "more than the data fill"


def test_a_source_below_the_least_number_once_others_took_theirs_gets_it_too() -> None:
    share = expected_batches(np.array([1.0, 10.0, 12.0, 100.0]), 123, 1.0, 12)
    np.testing.assert_allclose(share, [12, 12, 12, 87])


def test_rounding_at_random_has_the_right_mean_and_sum() -> None:
    rng, expected = np.random.default_rng(0), np.array([0.2, 3.0, 0.7, 1.1])
    found = np.stack([rounded_at_random(expected, rng) for _ in range(4000)])
    assert (found.sum(axis=1) == 5).all()
    assert (found[:, 1] == 3).all()
    assert (np.abs(found - expected) < 1).all()
    np.testing.assert_allclose(found.mean(axis=0), expected, atol=0.03)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("queries", "batches"), [(4_000, 40), (150, 7)])
def test_one_source_is_read_once(exponent: float, queries: int, batches: int) -> None:
    rows = schedule([queries], source_exponent=exponent, min_steps=7).schedule(1)
    np.testing.assert_array_equal(rows, np.zeros((batches, 1)))


def test_the_schedule_depends_on_seed_and_epoch_but_not_on_the_processes() -> None:
    one = schedule(SIZES, source_exponent=0.5)
    first = one.schedule(1)
    np.testing.assert_array_equal(first, schedule(SIZES, source_exponent=0.5).schedule(1))
    assert (first[:100] != one.schedule(2)[:100]).any()
    assert (first[:100] != schedule(SIZES, source_exponent=0.5, seed=1).schedule(1)[:100]).any()
    shared = schedule(SIZES, size=7, source_exponent=0.5).schedule(1)
    assert len(shared) == 4984, "the last step is whole"
    np.testing.assert_array_equal(shared[:4980], first)


def test_steps_that_read_all_sources_cost_as_much_as_there_is_data() -> None:
    rows = schedule(SIZES, together=True, source_exponent=1.0).schedule(1)
    np.testing.assert_array_equal(rows, np.tile(np.arange(4), (1245, 1)))


def test_a_small_source_is_read_again_in_another_order() -> None:
    sources = small_sources(small_encoded("a", num_users=60), small_encoded("b", num_users=9, seed=1))
    one = BatchSchedule(sources, training(source_exponent=0.0, batch_tokens=16), Processes())
    read = [batch for _, (batch,) in one.batches(one.schedule(1), 1) if batch.domain == 1]
    queries = sum(batch.num_queries for batch in read)
    assert queries >= 2 * sources[1].num_queries
    assert len({tuple(batch.items[batch.targets].tolist()) for batch in read}) > 1

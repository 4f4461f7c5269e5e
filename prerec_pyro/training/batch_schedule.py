"""Batches of an epoch: their sources, their order, and the part that each process reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.batching.training_batches import epoch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.training.distributed import Processes
from prerec_pyro.training.loop_config import LoopConfig


@dataclass(frozen=True, eq=False)
class Source:
    """A domain to train on.

    Attributes
    ----------
    encoded
        The domain.
    users
        ``(num_users,)`` rows of its training users.
    domain
        Row of D_k.
    first_row
        Row of its first item in the table of item offsets.
    lengths
        ``(num_users,)`` number of first events of each user that count; None counts all. See `first_samples`.
    """

    encoded: EncodedDomain
    users: np.ndarray
    domain: int
    first_row: int
    lengths: np.ndarray | None = None

    @property
    def num_queries(self) -> int:
        """Number of queries of the training users, in the events that count."""
        lengths = np.diff(self.encoded.domain.offsets)[self.users] if self.lengths is None else self.lengths
        return int(np.maximum(lengths - 1, 0).sum())

    def batches(self, config: LoopConfig, number: int) -> Iterator[Batch]:
        """Yield the batches of epoch `number`, a function of the configuration and the number alone."""
        return (make() for make in self.epoch(config, number))

    def epoch(self, config: LoopConfig, number: int) -> Iterator[Callable[[], Batch]]:
        """Yield functions that make the batches of epoch `number`, for a process that needs some of them only."""
        rng = np.random.default_rng([config.seed, number, self.domain])
        return epoch(
            self.encoded,
            self.users,
            domain=self.domain,
            first_row=self.first_row,
            num_negatives=config.num_negatives,
            max_tokens=config.batch_tokens,
            rng=rng,
            lengths=self.lengths,
        )

    def first_batch(self, config: LoopConfig) -> Batch:
        """Return the first batch of epoch 0, which parameters are made from.

        Raises
        ------
        InputError
            If no training user has two events.
        """
        batch = next(self.batches(config, 0), None)
        if batch is None:
            raise InputError(
                f"domain {self.encoded.name!r}: no training user with two events, so nothing to learn from; "
                "leave it out, or give it more users"
            )
        return batch


def expected_batches(num_queries: np.ndarray, total: int, exponent: float, at_least: int) -> np.ndarray:
    """Return the mean number of batches of an epoch from each source, ``(num_sources,)`` float64.

    A source of n queries gets a share of the batches proportional to n^exponent. With exponent 1 all queries are read
    equally often, with 0 all sources. A source below `at_least` batches gets that many, and the others share the rest.

    >>> expected_batches(np.array([100.0, 400.0]), total=30, exponent=0.5, at_least=1)
    array([10., 20.])
    >>> expected_batches(np.array([1.0, 100.0, 400.0]), total=32, exponent=0.5, at_least=2)
    array([ 2., 10., 20.])

    Parameters
    ----------
    num_queries
        ``(num_sources,)`` numbers of training queries, above 0.
    total
        Number of batches of an epoch; more are made where `at_least` needs them.
    exponent
        From 0 to 1.
    at_least
        Least number of batches of each source.
    """
    weight = num_queries**exponent
    few = np.zeros(len(weight), bool)
    share = np.full(len(weight), float(at_least))
    while not few.all():
        share[~few] = (total - at_least * few.sum()) * weight[~few] / weight[~few].sum()
        below = ~few & (share < at_least)
        if not below.any():
            break
        few |= below
        share[few] = at_least
    return share


def rounded_at_random(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return whole numbers whose means are `expected`, each less than 1 away, and whose sum is that of `expected`.

    This is systematic sampling: one random number rounds all of them. Independent draws would have the spread of a
    multinomial, and a small source would miss whole epochs.

    >>> rounded_at_random(np.array([1.5, 2.0, 2.5]), np.random.default_rng(0)).sum()
    np.int64(6)
    """
    whole = np.floor(expected)
    edges = np.concatenate([[0.0], (expected - whole).cumsum()])
    edges[-1] = round(edges[-1])
    return (whole + np.diff(np.floor(edges + rng.random()))).astype(np.int64)


@dataclass(frozen=True, eq=False)
class BatchSchedule:
    """The batches of each epoch, a function of the configuration and the number alone, for any number of processes.

    Attributes
    ----------
    sources
        Domains.
    config
        Settings of training; a source's share follows from ``source_exponent`` and ``min_steps`` of the recipe.
    processes
        The processes that share the batches.
    joint_sources
        Whether one batch of every source is read at a time; otherwise the sources take turns.
    """

    sources: list[Source]
    config: LoopConfig
    processes: Processes
    joint_sources: bool = False

    @property
    def expected_batches(self) -> np.ndarray:
        """Mean number of batches of an epoch from each source, ``(num_sources,)`` float64; see `expected_batches`."""
        queries = np.array([source.num_queries for source in self.sources], np.float64)
        recipe, total = self.config.recipe, round(queries.sum() / self.config.batch_tokens)
        if self.joint_sources:
            return np.full(len(queries), max(recipe.min_steps, round(total / len(queries))), np.float64)
        return expected_batches(queries, total, recipe.source_exponent, recipe.min_steps)

    @property
    def batches_a_step(self) -> int:
        """Number of batches, of all processes together, that a step averages."""
        return self.config.accumulate * self.processes.size

    def schedule(self, number: int) -> np.ndarray:
        """Return the sources of each batch, ``(num_batches, 1)``, shuffled; an epoch costs as much as there is data.

        Each source has its `expected_batches`, rounded up or down at random. With `joint_sources` the shape is
        ``(num_batches, num_sources)``, with all sources in each row. The last step is filled up from the first rows.
        """
        every, expected = np.arange(len(self.sources)), self.expected_batches
        rng = np.random.default_rng([self.config.seed, number])
        if self.joint_sources:
            rows = np.tile(every, (int(expected[0]), 1))
        else:
            rows = rng.permutation(np.repeat(every, rounded_at_random(expected, rng)))[:, None]
        return np.resize(rows, (-(-len(rows) // self.batches_a_step) * self.batches_a_step, rows.shape[1]))

    def batches(self, schedule: np.ndarray, number: int) -> Iterator[tuple[int, list[Batch]]]:
        """Yield index and batches of each row of the schedule that belongs to this process.

        A source that runs out starts another pass, in another order.
        """
        passes = [0] * len(self.sources)
        streams = [source.epoch(self.config, number) for source in self.sources]

        def take(source: int) -> Callable[[], Batch]:
            make = next(streams[source], None)
            if make is None:
                passes[source] += 1
                streams[source] = self.sources[source].epoch(self.config, number + passes[source] * 1_000_003)
                make = next(streams[source])
            return make

        for index, row in enumerate(schedule):
            makers = [take(source) for source in row]
            if self.processes.is_mine(index):
                yield index, [make() for make in makers]

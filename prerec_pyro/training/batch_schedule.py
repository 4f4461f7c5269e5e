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


@dataclass(frozen=True, eq=False)
class BatchSchedule:
    """The batches of each epoch, a function of the configuration and the number alone, for any number of processes.

    Attributes
    ----------
    sources
        Domains. Each gives as many batches an epoch as the largest, so that all domains have the same weight.
    config
        Settings of training.
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
    def batches_a_step(self) -> int:
        """Number of batches, of all processes together, that a step averages."""
        return self.config.accumulate * self.processes.size

    def schedule(self, number: int) -> np.ndarray:
        """Return the sources of each batch, ``(num_batches, 1)``, shuffled: each as often as the largest has batches.

        With `joint_sources` the shape is ``(num_batches, num_sources)``, with all sources in each row. The last step is
        filled up from the first rows.
        """
        largest = max(source.num_queries for source in self.sources)
        batches = max(self.config.recipe.min_steps, round(largest / self.config.batch_tokens))
        every = np.arange(len(self.sources))
        if self.joint_sources:
            rows = np.tile(every, (batches, 1))
        else:
            rows = np.random.default_rng([self.config.seed, number]).permutation(np.repeat(every, batches))[:, None]
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

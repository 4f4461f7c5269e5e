"""Which batches an epoch reads, in which order, and which of them are this process's."""

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
        ``(n,)`` rows of its training users.
    domain
        Row of D_k.
    first_row
        Row of its first item in the table of item offsets.
    lengths
        ``(n,)`` how many of each user's first events count; None is all. See `first_samples`.
    """

    encoded: EncodedDomain
    users: np.ndarray
    domain: int
    first_row: int
    lengths: np.ndarray | None = None

    @property
    def num_queries(self) -> int:
        """Queries of the training users that count."""
        lengths = np.diff(self.encoded.domain.offsets)[self.users] if self.lengths is None else self.lengths
        return int(np.maximum(lengths - 1, 0).sum())

    def batches(self, config: LoopConfig, number: int) -> Iterator[Batch]:
        """Yield the batches of epoch `number`: a function of the configuration and the number alone."""
        return (make() for make in self.epoch(config, number))

    def epoch(self, config: LoopConfig, number: int) -> Iterator[Callable[[], Batch]]:
        """Yield the batches of epoch `number` yet to be made, for one who needs but some of them."""
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
        """Return a batch to make parameters from; refuse a domain that has none."""
        batch = next(self.batches(config, 0), None)
        if batch is None:
            raise InputError(
                f"domain {self.encoded.name!r}: no training user with two events, so nothing to learn from; "
                "leave it out, or give it more users"
            )
        return batch


@dataclass(frozen=True, eq=False)
class BatchSchedule:
    """The batches of each epoch, a function of configuration and number alone, whoever reads them.

    Attributes
    ----------
    sources
        Domains; each gives as many batches an epoch as the largest, so that they weigh the same.
    config
        How to train.
    processes
        Who share the batches.
    together
        Whether a batch of every source is read at a time, and not of one of them.
    """

    sources: list[Source]
    config: LoopConfig
    processes: Processes
    together: bool = False

    @property
    def batches_a_step(self) -> int:
        """Batches, of all processes, whose mean gradient a step takes."""
        return self.config.accumulate * self.processes.size

    def schedule(self, number: int) -> np.ndarray:
        """Return the sources of each batch, ``(num_batches, 1)``: each as often as the largest has batches, shuffled.

        Together it is ``(num_batches, num_sources)``, all in each row. The last step is filled up from the beginning.
        """
        largest = max(source.num_queries for source in self.sources)
        batches = max(self.config.min_steps, round(largest / self.config.batch_tokens))
        everyone = np.arange(len(self.sources))
        if self.together:
            rows = np.tile(everyone, (batches, 1))
        else:
            rows = np.random.default_rng([self.config.seed, number]).permutation(np.repeat(everyone, batches))[:, None]
        return np.resize(rows, (-(-len(rows) // self.batches_a_step) * self.batches_a_step, rows.shape[1]))

    def batches(self, schedule: np.ndarray, number: int) -> Iterator[tuple[int, list[Batch]]]:
        """Yield the rows of the schedule that are this process's, each with a batch of every source in it.

        A source that runs out starts a pass anew.
        """
        passes = [0] * len(self.sources)
        streams = [source.epoch(self.config, number) for source in self.sources]

        def take(index: int) -> Callable[[], Batch]:
            make = next(streams[index], None)
            if make is None:
                passes[index] += 1
                streams[index] = self.sources[index].epoch(self.config, number + passes[index] * 1_000_003)
                make = next(streams[index])
            return make

        for place, row in enumerate(schedule):
            makers = [take(index) for index in row]
            if self.processes.is_mine(place):
                yield place, [make() for make in makers]

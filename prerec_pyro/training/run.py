"""A training run of any model: its training and validation users, its saved state, and the facts about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.splits import split_users
from prerec_pyro.data.subsets import first_samples
from prerec_pyro.training import checkpoint
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.early_stopping import EarlyStopping
from prerec_pyro.training.trainer import Trainer

ValidationUsers = list[tuple[EncodedDomain, np.ndarray]]
TRAINING_PER_VALIDATION_QUERY = 10
"""Training queries per validation query of an epoch, if that gives more queries than the recipe."""
MAX_VALIDATION_SCORES = 100_000_000
"""Most scores that these queries may take, with all items: ranking a large catalogue is expensive."""
FULL_BUDGET_SOURCES = 3
"""Number of sources that validation and S read in full. More sources share what these would read."""
LEAST_BUDGET = 300
"""Least number of queries of a source that its share is cut to."""


def shared_budget(queries: int, num_sources: int) -> int:
    """Return how many of `queries` of each source are read, so that the work does not grow with their number.

    The mean over sources is then about as exact as that of `FULL_BUDGET_SOURCES`.

    >>> shared_budget(1500, 3), shared_budget(1500, 12), shared_budget(1500, 100)
    (1500, 375, 300)
    """
    if num_sources <= FULL_BUDGET_SOURCES:
        return queries
    return max(min(queries, LEAST_BUDGET), queries * FULL_BUDGET_SOURCES // num_sources)


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A call of ``fit`` or ``fine_tune``.

    Attributes
    ----------
    encoded
        Domains to train on.
    split_seed
        Seed of the 4:3:3 split of users.
    num_samples
        Number of queries of each domain to train on; see `first_samples`. None takes all.
    progress_folder
        Folder for the state after each epoch; None saves no state.
    resume
        Whether to continue from the state in `progress_folder`.
    seed
        Seed of training and of the choice of samples.
    """

    encoded: Sequence[EncodedDomain]
    split_seed: int
    num_samples: int | None
    progress_folder: Path | None
    resume: bool
    seed: int

    @property
    def parts(self) -> ValidationUsers:
        """The domains, each with its validation users, ``(num_users,)``."""
        return [(e, split_users(e.domain, self.split_seed).validation) for e in self.encoded]

    @property
    def num_queries(self) -> int:
        """Number of training queries of the largest domain."""
        return max(source.num_queries for source in self.sources(np.zeros(len(self.encoded), np.int64)))

    def sources(self, first_rows: np.ndarray) -> list[Source]:
        """Return the domains with their training users.

        Parameters
        ----------
        first_rows
            ``(num_domains,)`` row of each domain's first item in the table of item offsets.
        """
        sources = []
        for k, e in enumerate(self.encoded):
            train = split_users(e.domain, self.split_seed).train
            users, lengths = first_samples(e.domain, train, self.num_samples, self.seed)
            sources.append(Source(e, users, k, int(first_rows[k]), lengths))
        return sources

    def num_validation_queries(self, at_least: int) -> int:
        """Return the number of validation queries of each domain that rate an epoch, about.

        It is a tenth of the training queries, limited by `MAX_VALIDATION_SCORES`, because late epochs of a long
        training differ by less than a few queries can show. Domains have equal weight in the score, so all get the
        smallest number. Many sources share the queries of a few; see `shared_budget`.

        Parameters
        ----------
        at_least
            ``validation_queries`` of the recipe.
        """
        sources = self.sources(np.zeros(len(self.encoded), np.int64))
        each = (
            min(source.num_queries // TRAINING_PER_VALIDATION_QUERY, MAX_VALIDATION_SCORES // source.encoded.num_items)
            for source in sources
        )
        return shared_budget(max(at_least, min(each)), len(sources))

    def fit(
        self, trainer: Trainer, config: Callable[[], dict[str, Any]], score: Callable[[ValidationUsers], float]
    ) -> tuple[EarlyStopping, dict[str, Any]]:
        """Return the history of training and the facts for a manifest; save and restore states on the way.

        Parameters
        ----------
        trainer
            The training loop.
        config
            Returns what the model is built from, plain JSON. Only the same model can continue from a state.
        score
            Returns the validation score on validation users of the domains.

        Raises
        ------
        InputError
            If there is nothing to resume, or the state belongs to another run.
        """
        folder = self.progress_folder
        run: dict[str, Any] = {}
        if folder is not None or trainer.processes.size > 1:
            run = self._facts(config(), trainer.batches.batches_a_step)
        if folder is not None and self.resume:
            trainer.restore(*checkpoint.load_progress(folder, run))
        trainer.processes.check_alike(run | {"epochs done": trainer.next_epoch - 1})

        def keep(trainer: Trainer) -> None:
            if folder is not None:
                checkpoint.save_progress(folder, run, *trainer.state())

        progress = trainer.fit(lambda: score(self.parts), keep)
        facts = {
            "best_epoch": progress.best_epoch,
            "validation_r_ndcg": progress.best_score,
            "batches_a_step": trainer.batches.batches_a_step,
            **checkpoint.provenance(self.encoded, split_seed=self.split_seed, seed=trainer.config.seed),
            "num_samples": self.num_samples,
        }
        return progress, facts

    def _facts(self, config: dict[str, Any], batches_a_step: int) -> dict[str, Any]:
        """Return what identifies a run. Two processes with one batch a step are the same run as one with two."""
        training = {name: value for name, value in config["training"].items() if name != "accumulate"}
        split = {"split_seed": self.split_seed, "num_samples": self.num_samples, "batches_a_step": batches_a_step}
        return config | {"training": training} | split | {"data": [e.domain.fingerprint for e in self.encoded]}

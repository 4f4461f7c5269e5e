"""A training run, whatever the model: which users train and which validate, where its state is kept, what it was."""

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
from prerec_pyro.training.early_stopping import EarlyStopping
from prerec_pyro.training.trainer import Source, Trainer

ValidationUsers = list[tuple[EncodedDomain, np.ndarray]]
TRAINING_PER_VALIDATION_QUERY = 10
"""Training queries for each validation query that an epoch is judged by, where that makes more than the setting."""
MAX_VALIDATION_SCORES = 100_000_000
"""Of these queries with all items, where they are more than the setting: a large catalogue is dear to rank."""


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """What a call of ``fit`` or ``fine_tune`` asks for.

    Attributes
    ----------
    encoded
        Domains to train on.
    split_seed
        Of the 4:3:3 split of users.
    num_samples
        Train on that many queries of each domain only; see `first_samples`. None is all.
    progress_folder
        Where to keep the state after each epoch; None keeps none.
    resume
        Go on from the state in `progress_folder`.
    seed
        Of training, and of which queries they are: several seeds then also tell how much hangs on that.
    """

    encoded: Sequence[EncodedDomain]
    split_seed: int
    num_samples: int | None
    progress_folder: Path | None
    resume: bool
    seed: int

    @property
    def parts(self) -> ValidationUsers:
        """The domains, each with its validation users."""
        return [(e, split_users(e.domain, self.split_seed).validation) for e in self.encoded]

    def sources(self, first_rows: np.ndarray) -> list[Source]:
        """Return the training users of each domain; `first_rows`, ``(num_domains,)``, is where its items start."""
        sources = []
        for k, e in enumerate(self.encoded):
            train = split_users(e.domain, self.split_seed).train
            users, lengths = first_samples(e.domain, train, self.num_samples, self.seed)
            sources.append(Source(e, users, k, int(first_rows[k]), lengths))
        return sources

    def num_validation_queries(self, at_least: int) -> int:
        """Return how many validation queries of each domain an epoch is judged by, about.

        A tenth of what it trains on, up to `MAX_VALIDATION_SCORES`: epochs late in a long training differ by less
        than a few queries can tell. Domains have equal weight in the score, so the smallest number is taken for all.

        Parameters
        ----------
        at_least
            ``validation_queries`` of the training.
        """
        sources = self.sources(np.zeros(len(self.encoded), np.int64))
        each = (
            min(source.num_queries // TRAINING_PER_VALIDATION_QUERY, MAX_VALIDATION_SCORES // source.encoded.num_items)
            for source in sources
        )
        return max(at_least, min(each))

    def fit(
        self, trainer: Trainer, config: Callable[[], dict[str, Any]], score: Callable[[ValidationUsers], float]
    ) -> tuple[EarlyStopping, dict[str, Any]]:
        """Train, keeping and taking up the state as asked; return how it went, and the facts for a manifest.

        Parameters
        ----------
        trainer
            The loop.
        config
            Gives what the model is built from, plain JSON: a state is taken up by the same model only.
        score
            Gives the validation score on validation users of the domains.

        Raises
        ------
        InputError
            If there is nothing to resume, or the state is of another run.
        """
        folder, run = self.progress_folder, {}
        if folder is not None or trainer.processes.size > 1:
            run = self._facts(config(), trainer.reading.batches_a_step)
        if folder is not None and self.resume:
            trainer.restore(*checkpoint.load_progress(folder, run))
        trainer.processes.check_alike(run | {"epochs done": trainer.next_epoch - 1})

        def keep(trainer: Trainer) -> None:
            if folder is not None:
                checkpoint.save_progress(folder, run, *trainer.state())

        progress = trainer.fit(lambda: score(self.parts), keep)
        best = {"best_epoch": progress.best_epoch, "validation_r_ndcg": progress.best_score}
        best["batches_a_step"] = trainer.reading.batches_a_step
        where = checkpoint.provenance(self.encoded, split_seed=self.split_seed, seed=trainer.config.seed)
        return progress, best | where | {"num_samples": self.num_samples}

    def _facts(self, config: dict[str, Any], batches_a_step: int) -> dict[str, Any]:
        """Return what a run is. Two processes of one batch a step are one process of two: a state serves both."""
        training = {name: value for name, value in config["training"].items() if name != "accumulate"}
        asked = {"split_seed": self.split_seed, "num_samples": self.num_samples, "batches_a_step": batches_a_step}
        return config | {"training": training} | asked | {"data": [e.domain.fingerprint for e in self.encoded]}

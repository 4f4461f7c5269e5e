"""The training loop: epochs, steps, validation, and a state from which a run resumes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor, nn

from prerec_pyro.data.batching.ahead import made_ahead
from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.errors import InputError
from prerec_pyro.training import distributed
from prerec_pyro.training.batch_schedule import BatchSchedule, Source
from prerec_pyro.training.checkpoint import flatten_optimizer, restore_optimizer
from prerec_pyro.training.early_stopping import EarlyStopping
from prerec_pyro.training.loop_config import LoopConfig
from prerec_pyro.training.precision import autocast

logger = logging.getLogger(__name__)


class Trainer:
    """Minimises an objective over source domains in a plain PyTorch loop, the same for every method.

    Parameters
    ----------
    objective
        A module from batches to the loss, a scalar in nats per query; for PreRec ``PathwiseELBO()(model, guide)``.
    optimizers
        Optimisers of its parameters; each group names its ``initial_lr``.
    sources
        Domains; see `BatchSchedule` for the share of each.
    config
        Settings of training.
    device
        Device of the objective and its batches.
    peak
        Number to add to the loss of each batch of a domain before it is reported; None adds nothing.
    joint_sources
        Whether a step reads one batch of every source, as so many arguments; otherwise it reads a batch of one source.

    Raises
    ------
    InputError
        If a source has no training user with two events.
    """

    def __init__(
        self,
        objective: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        sources: list[Source],
        config: LoopConfig,
        device: torch.device | str = "cpu",
        *,
        peak: Callable[[Batch], float] | None = None,
        joint_sources: bool = False,
    ) -> None:
        self.objective = objective
        self.optimizers = optimizers
        self.sources = sources
        self.config = config
        self.device = torch.device(device)
        self.processes = distributed.current()
        self.batches = BatchSchedule(sources, config, self.processes, joint_sources)
        firsts = [source.first_batch(config) for source in sources]
        self.peaks = {batch.domain: 0.0 if peak is None else peak(batch) for batch in firsts}
        self.progress = EarlyStopping()
        self.next_epoch = 1
        self._accumulated = 0  # batches whose gradients wait for the step

    def fit(
        self, validate: Callable[[], float] | None = None, on_epoch: Callable[[Trainer], None] | None = None
    ) -> EarlyStopping:
        """Train until `config.epochs`, or until validation no longer improves; leave the best state in the modules.

        With several processes, only the first validates and calls `on_epoch`. All end with the same parameters.

        Parameters
        ----------
        validate
            Returns the score to maximise, on validation users. None keeps the last state.
        on_epoch
            Called after each epoch, for example to save a state from which to resume.

        Raises
        ------
        InputError
            If the loss is no longer finite.
        """
        self.processes.start_alike(self._small_tensors())
        if validate is not None and self.next_epoch == 1:
            self.progress.better(0, self._score(validate), self.objective)
        while self.next_epoch <= self.config.epochs and not self._stale():
            row = self._epoch(self.next_epoch)
            if validate is not None:
                row["validation"] = self._score(validate)
                self.progress.better(self.next_epoch, row["validation"], self.objective)
            self.progress.history.append(row)
            logger.info(
                "epoch %d: loss %.3f, validation r-NDCG %.4f", row["epoch"], row["loss"], row.get("validation", np.nan)
            )
            self.next_epoch += 1
            if on_epoch is not None:
                self.processes.first_does(lambda: on_epoch(self))
        if self.progress.best:
            self.objective.load_state_dict(self.progress.best)
        self.objective.eval()
        return self.progress

    def step(self, *batches: Batch) -> Tensor:
        """Return the loss, a scalar on the device in nats per query; take a step with the mean gradient.

        With ``accumulate`` above 1, the step waits until that many gradients are there.
        """
        with autocast(self.config.precision, self.device):
            loss = self.objective(*batches)
        (loss / self.config.accumulate).backward()
        self._accumulated = (self._accumulated + 1) % self.config.accumulate
        if not self._accumulated:
            tables = [optimizer for optimizer in self.optimizers if _is_sparse(optimizer)]
            others = [optimizer for optimizer in self.optimizers if not _is_sparse(optimizer)]
            self.processes.average(_parameters(others), _parameters(tables))
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain JSON from which `restore` continues after the last finished epoch."""
        tensors = {f"now.{name}": value for name, value in self.objective.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.progress.best.items()}
        for number, optimizer in enumerate(self.optimizers):
            tensors |= flatten_optimizer(optimizer, f"optimizer.{number}")
        facts = {
            "next_epoch": self.next_epoch,
            "history": self.progress.history,
            "best_epoch": self.progress.best_epoch,
            "best_score": self.progress.best_score if self.progress.best else None,  # JSON has no infinity
        }
        return tensors, facts

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Continue from a `state`: the next epochs equal those of a run without the interruption.

        Raises
        ------
        InputError
            If the state belongs to another model.
        """
        by_kind: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}}
        for key, value in tensors.items():
            kind, _, name = key.partition(".")
            by_kind.setdefault(kind, {})[name] = value.to(self.device)
        try:
            self.objective.load_state_dict(by_kind["now"])
        except RuntimeError as error:
            raise InputError(f"resume: the state is of another model ({error}); train without --resume") from error
        for number, optimizer in enumerate(self.optimizers):
            restore_optimizer(optimizer, tensors, f"optimizer.{number}")
        self.next_epoch = facts["next_epoch"]
        score = -np.inf if facts["best_score"] is None else facts["best_score"]
        self.progress = EarlyStopping(facts["history"], facts["best_epoch"], score, by_kind["best"])

    def _epoch(self, number: int) -> dict[str, float]:
        self.objective.train()
        total, num_queries = torch.zeros((), dtype=torch.float64, device=self.device), 0
        schedule, step_size = self.batches.schedule(number), self.batches.batches_a_step
        with pyro.validation_enabled(False):
            for index, batches in made_ahead(self.batches.batches(schedule, number)):
                self._decay((number - 1 + (index - index % step_size) / len(schedule)) / self.config.epochs)
                self._seed(number, index)
                loss, size = self.step(*(b.to(self.device) for b in batches)), sum(b.num_queries for b in batches)
                total += (loss + sum(self.peaks[b.domain] for b in batches)) * size
                num_queries += size
        nats, num_queries = self.processes.total(torch.stack([total, total.new_tensor(num_queries)])).tolist()
        loss = nats / max(num_queries, 1)
        if not math.isfinite(loss):
            raise InputError(f"training diverged: the loss of epoch {number} is {loss}; use smaller learning rates")
        return {"epoch": number, "loss": loss, "num_queries": int(num_queries)}

    def _seed(self, number: int, index: int) -> None:
        """Seed dropout by the batch: neither the process that reads it nor the batches before it matter."""
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, number, index]).generate_state(1)[0]))

    def _decay(self, done: float) -> None:
        """Set the rates for the share of training that is done; they fall linearly to zero."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * (1.0 - done)

    def _score(self, validate: Callable[[], float]) -> float:
        self.objective.eval()
        with torch.no_grad():
            return self.processes.first(validate)

    def _small_tensors(self) -> Iterator[Tensor]:
        """Yield the parameters and buffers of the objective, without item tables, which start equal everywhere."""
        tables = {id(table) for table in _parameters(o for o in self.optimizers if _is_sparse(o))}
        yield from (p for p in self.objective.parameters() if id(p) not in tables)
        yield from self.objective.buffers()

    def _stale(self) -> bool:
        return self.next_epoch - 1 - self.progress.best_epoch >= self.config.patience and bool(self.progress.best)


def _is_sparse(optimizer: torch.optim.Optimizer) -> bool:
    return isinstance(optimizer, torch.optim.SparseAdam)


def _parameters(optimizers: Iterable[torch.optim.Optimizer]) -> list[nn.Parameter]:
    return [parameter for one in optimizers for group in one.param_groups for parameter in group["params"]]

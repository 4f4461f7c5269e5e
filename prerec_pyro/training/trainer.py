"""Stochastic variational inference: the training loop, and nothing else."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyro
import torch
from pydantic import Field
from pyro.infer.autoguide import AutoGuideList
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.errors import InputError
from prerec_pyro.inference.guides.map_guide import ItemOffsets, NonCenteredModel
from prerec_pyro.models.priors import WEIGHTS
from prerec_pyro.training import distributed
from prerec_pyro.training.batch_schedule import BatchSchedule, Source
from prerec_pyro.training.checkpoint import flatten_optimizer, restore_optimizer
from prerec_pyro.training.early_stopping import EarlyStopping
from prerec_pyro.training.loop_config import LoopConfig
from prerec_pyro.training.precision import autocast

logger = logging.getLogger(__name__)


class TrainConfig(LoopConfig):
    """How to train PreRec. Learning rates are Adam's, and decay linearly to zero.

    The defaults were chosen for zero-shot use, on validation users: small sources teach how much popularity and
    repeats matter, but their sequences and words are not the target's, so f_seq and f_e move slowly from a start that
    carries over. To train on a large domain for its own sake, raise `learning_rate` and `text_rate` to 2e-3 and
    `item_rate` to 3e-3, as fine-tuning does.
    """

    learning_rate: float = Field(5e-5, ge=0, description="of f_seq and f_item")
    text_rate: float = Field(1e-5, ge=0, description="of f_e")
    popularity_rate: float = Field(3e-3, ge=0, description="of f_pop, W_z and W_d")
    repeat_rate: float = Field(1e-1, ge=0, description="of w_h, which stands for repeats in training")
    domain_rate: float = Field(3e-4, ge=0, description="of D")
    strength_rate: float = Field(3e-2, ge=0, description="of S, where it is free")
    scale_rate: float = Field(3e-2, ge=0, description="of random scales of priors, in e-folds")
    item_rate: float = Field(3e-4, ge=0, description="of the item offsets, in units of V")
    learning_rate_at: int | None = Field(
        100_000,
        ge=1,
        description="queries of the largest domain that learning_rate is for: with a share r of them it falls by "
        "r^1.5; none: it stands",
    )
    rates_at: int | None = Field(
        None,
        ge=1,
        description="queries that text_rate and item_rate are for: with a share r of them they fall by r^0.5; none: "
        "they stand",
    )
    popularity_at: int | None = Field(
        None,
        ge=1,
        description="queries that popularity_rate is for where popularity was learnt before: with a share r of them it "
        "falls by r^1.5; none: it stands",
    )
    strengths_at: int | None = Field(
        None,
        ge=1,
        description="queries from which fine-tuning starts at the w_h and length of U of the sources: with fewer these "
        "stand aside, and the length is read of the log afterwards; none: it starts there always",
    )

    def for_queries(self, num_queries: int) -> TrainConfig:
        """Return it with the rates for that many training queries: a few rows at large steps undo what was known.

        A sequence network learns few rows by heart long before they teach it anything, so its rate falls faster. So
        does that of popularity: which items are popular is known, and how much they count is S, read off the log.
        """

        def share(of: int | None) -> float:
            return 1.0 if of is None else min(1.0, num_queries / of)

        others = share(self.rates_at) ** 0.5
        factors = {
            "learning_rate": share(self.learning_rate_at) ** 1.5,
            "text_rate": others,
            "item_rate": others,
            "popularity_rate": share(self.popularity_at) ** 1.5,
        }
        return self.model_copy(update={name: factor * getattr(self, name) for name, factor in factors.items()})


FINE_TUNING = TrainConfig(
    epochs=10,
    num_negatives=8192,
    learning_rate=2e-3,
    text_rate=2e-3,
    item_rate=3e-3,
    rates_at=100_000,
    popularity_at=100_000,
    strengths_at=100_000,
)
"""How `PreRec.fine_tune` trains unless told: networks and items may move; the softmax is exact up to 8,192 items."""


class Trainer:
    """Minimises an objective over source domains: a plain PyTorch loop, the same for every method.

    Parameters
    ----------
    objective
        A module from batches to the loss, a scalar in nats a query; for PreRec ``PathwiseELBO()(model, guide)``.
    optimizers
        Of its parameters; each group names its ``initial_lr``.
    sources
        Domains; each gives as many batches an epoch as the largest, so that they weigh the same.
    config
        How to train.
    device
        Where.
    peak
        What to add to the loss of a batch of each domain before it is reported; None is nothing.
    together
        Whether a step reads a batch of every source, as so many arguments, and not one of them.

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
        together: bool = False,
    ) -> None:
        self.objective = objective
        self.optimizers = optimizers
        self.sources = sources
        self.config = config
        self.device = torch.device(device)
        self.processes = distributed.current()
        self.reading = BatchSchedule(sources, config, self.processes, together)
        firsts = [source.first_batch(config) for source in sources]
        self.peaks = {batch.domain: 0.0 if peak is None else peak(batch) for batch in firsts}
        self.progress = EarlyStopping()
        self.next_epoch = 1
        self._held = 0  # batches whose gradients wait for the step

    def fit(
        self, validate: Callable[[], float] | None = None, on_epoch: Callable[[Trainer], None] | None = None
    ) -> EarlyStopping:
        """Train until `config.epochs` or until validation no longer improves; leave the best state in the modules.

        Parameters
        ----------
        validate
            Gives the score to maximise, on validation users; None keeps the last state.
        on_epoch
            Called after each epoch, say to save a state from which to resume.

        Of several processes the first alone validates and calls; all end with the same parameters.
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
        """Take one step, or hold the gradient until there are as many as the step takes the mean of.

        Returns the loss, a scalar still on the device, in nats a query.
        """
        with autocast(self.config.precision, self.device):
            loss = self.objective(*batches)
        (loss / self.config.accumulate).backward()
        self._held = (self._held + 1) % self.config.accumulate
        if not self._held:
            tables = [optimizer for optimizer in self.optimizers if _is_sparse(optimizer)]
            others = [optimizer for optimizer in self.optimizers if not _is_sparse(optimizer)]
            self.processes.average(_parameters(others), _parameters(tables))
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain facts from which `restore` goes on after the last finished epoch."""
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
        """Go on from a `state`: the epochs to come are those of a run that was never cut off.

        Raises
        ------
        InputError
            If the state is of another model.
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
        schedule, of_step = self.reading.schedule(number), self.reading.batches_a_step
        with pyro.validation_enabled(False):
            for place, batches in self.reading.batches(schedule, number):
                self._decay((number - 1 + (place - place % of_step) / len(schedule)) / self.config.epochs)
                self._seed(number, place)
                loss, read = self.step(*(b.to(self.device) for b in batches)), sum(b.num_queries for b in batches)
                total += (loss + sum(self.peaks[b.domain] for b in batches)) * read
                num_queries += read
        nats, num_queries = self.processes.total(torch.stack([total, total.new_tensor(num_queries)])).tolist()
        loss = nats / max(num_queries, 1)
        if not math.isfinite(loss):
            raise InputError(f"training diverged: the loss of epoch {number} is {loss}; use smaller learning rates")
        return {"epoch": number, "loss": loss, "num_queries": int(num_queries)}

    def _seed(self, number: int, place: int) -> None:
        """Seed dropout by the batch, so that it does not matter which process reads it, or after which others."""
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, number, place]).generate_state(1)[0]))

    def _decay(self, done: float) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * (1.0 - done)

    def _score(self, validate: Callable[[], float]) -> float:
        self.objective.eval()
        with torch.no_grad():
            return self.processes.first(validate)

    def _small_tensors(self) -> Iterator[Tensor]:
        """Yield all that the objective is made of, but for tables of items: those start alike by themselves."""
        tables = {id(table) for table in _parameters(o for o in self.optimizers if _is_sparse(o))}
        yield from (p for p in self.objective.parameters() if id(p) not in tables)
        yield from self.objective.buffers()

    def _stale(self) -> bool:
        return self.next_epoch - 1 - self.progress.best_epoch >= self.config.patience and bool(self.progress.best)


def _is_sparse(optimizer: torch.optim.Optimizer) -> bool:
    return isinstance(optimizer, torch.optim.SparseAdam)


def _parameters(optimizers: Iterable[torch.optim.Optimizer]) -> list[nn.Parameter]:
    return [parameter for one in optimizers for group in one.param_groups for parameter in group["params"]]


def optimizers(program: NonCenteredModel, guide: AutoGuideList, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return Adam over the dense parameters, by group, and SparseAdam over the item offsets."""
    graph = program.graph
    rate_of = {
        "f_e": config.text_rate,
        "f_pop": config.popularity_rate,
        "W_": config.popularity_rate,
        "likelihood.w_h": config.repeat_rate,
    }
    rate_of_node = {"D": config.domain_rate, "S": config.strength_rate} | dict.fromkeys(WEIGHTS, config.popularity_rate)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in graph.named_parameters():
        rate = next((r for prefix, r in rate_of.items() if name.startswith(prefix)), config.learning_rate)
        groups.setdefault(rate, []).append(parameter)
    rows: list[nn.Parameter] = []
    for part in guide:
        if isinstance(part, ItemOffsets):
            rows += part.parameters()
        else:
            for name, parameter in part.named_parameters():
                node = name.removeprefix("locs.").removesuffix("_unconstrained")  # as Pyro names them
                rate = rate_of_node.get(node, config.scale_rate)
                groups.setdefault(rate, []).append(parameter)
    dense = torch.optim.Adam(
        [{"params": params, "lr": rate, "initial_lr": rate} for rate, params in groups.items()], fused=True
    )
    if not rows:
        return [dense]
    # The table holds V_decentered: a step of `rate` there moves V by rate · scale.
    rate = config.item_rate / offset_scale(graph)
    return [dense, torch.optim.SparseAdam([{"params": rows, "lr": rate, "initial_lr": rate}])]


def offset_scale(graph: nn.Module) -> float:
    """Return the scale of V around its mean: what one unit of V_decentered is in units of V."""
    fn = graph.priors.V(torch.zeros(1, 2))
    base = fn.base_dist if hasattr(fn, "base_dist") else fn
    return float(base.scale.flatten()[0])

"""What does one training step cost, through Pyro and without it, and against the padded scheme?

    python benchmarks/speed/train_step.py --domain DIR [--data online_retail.csv.gz]

Queries a second on the training users of one domain, in one run, two threads:

(a) the SVI step: ``PathwiseELBO()(program, guide)``, backward, optimisers;
(b) the same loss, written as a bare torch loop on the same batches;
(c) one padded prefix of 64 items a sample and 256 negatives of its own, gathered, as the authors' code does, on the
    same number of samples a step as the paper's batch, 256.

(a) and (b) take the same batches, each in turn; the table gives the median of several rounds and what it is of (a).
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import get_args

import numpy as np
import pyro
import torch
import torch.nn.functional as F

from prerec_pyro.cli.allocator import keep_freed_memory
from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.data.readers import read_online_retail
from prerec_pyro.data.splits import split_users
from prerec_pyro.inference.guides.free_nodes import FREE_BY_DEFAULT
from prerec_pyro.inference.guides.map_guide import ItemOffsets, NonCenteredModel, map_guide
from prerec_pyro.models.graphs.config import ExtendedConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.objective import map_trainer, offset_scale
from prerec_pyro.training.precision import Precision, autocast
from prerec_pyro.training.recipes import TrainConfig
from prerec_pyro.training.trainer import Trainer

PADDED = 256
"""Samples in a step of (c): the paper's batch."""
LABELS = {
    "a": "(a) SVI step",
    "b": "(b) bare torch loop, (a)/(b)",
    "a and batch": "(a) and the making of its batch",
    "c": "(c) padded, own negatives, (a and batch)/(c)",
}


def make_trainer(encoded: EncodedDomain, users: np.ndarray, config: TrainConfig, device: torch.device) -> Trainer:
    """Return a fresh trainer of the default graph."""
    torch.manual_seed(0)
    graph = ExtendedGraph(ExtendedConfig(), num_domains=1, text_dim=encoded.texts.shape[1])
    graph.to(device)  # before the guide, whose points start where the graph is
    program = NonCenteredModel(graph, FREE_BY_DEFAULT)
    source = Source(encoded, users, 0, 0)
    trainer = map_trainer(program, map_guide(program, encoded.num_items), [source], config, device)
    trainer.objective.train()
    return trainer


def bare_loss(trainer: Trainer, batch: Batch) -> torch.Tensor:
    """Return eq. 4 of a batch without Pyro: what (a) must cost no more than."""
    graph = trainer.objective.model.graph
    (table,) = (part.table for part in trainer.objective.guide if isinstance(part, ItemOffsets))
    D = next(part.D for part in trainer.objective.guide if not isinstance(part, ItemOffsets))
    own = D[batch.domain]
    text = graph.f_e(batch.texts)
    Z = graph.f_pop(batch.factors)
    offsets = table(batch.item_rows)
    V = graph.f_item(text, own, None) + offset_scale(graph) * offsets
    U = graph.f_seq(own, V[batch.history], batch.positions)
    effect = Z @ graph.W_z
    target = (U * V[batch.targets]).sum(-1) + effect[batch.target_level] + graph.likelihood.w_h * batch.target_repeats
    scores = U @ V[batch.negatives].T + effect[batch.candidate_level][batch.slot]
    seen = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    seen[batch.repeats[0], batch.repeats[1]] = True
    scores = (scores + graph.likelihood.w_h * seen).masked_fill(batch.negatives == batch.targets[:, None], -torch.inf)
    logits = torch.cat([target[:, None], scores], dim=1) + own @ graph.W_d
    fit = F.cross_entropy(logits, torch.zeros(len(U), dtype=torch.long, device=U.device))
    scale_D = float(graph.priors.D(torch.zeros(1, 2)).base_dist.scale[0, 0])
    prior = 0.5 * (batch.prior_weight * offsets.square().sum(1)).sum() + 0.5 * (own / scale_D).square().sum()
    return fit + prior / batch.num_domain_queries


def padded_loss(trainer: Trainer, encoded: EncodedDomain, events: np.ndarray, starts: np.ndarray) -> torch.Tensor:
    """Return the loss of one padded prefix a sample, each with negatives of its own."""
    graph = trainer.objective.model.graph
    item_index, length, device = encoded.domain.item_index, 64, trainer.device
    begin = np.maximum(starts, events - length)
    read = np.minimum(begin[:, None] + np.arange(length), events[:, None] - 1)  # (n, 64)
    ends = events - begin - 1
    negatives = np.random.default_rng(0).integers(0, encoded.num_items, (len(events), trainer.config.num_negatives))
    candidates = np.concatenate([item_index[events][:, None], negatives], axis=1)  # (n, 1 + negatives)
    own = next(part.D for part in trainer.objective.guide if not isinstance(part, ItemOffsets))[0]
    (table,) = (part.table for part in trainer.objective.guide if isinstance(part, ItemOffsets))

    def vectors(items: np.ndarray) -> torch.Tensor:
        rows = torch.from_numpy(items.astype(np.int64))
        texts = encoded.texts[rows].to(device)
        return graph.f_item(graph.f_e(texts), own, None) + offset_scale(graph) * table(rows.to(device))

    U = graph.f_seq(own, vectors(item_index[read]), torch.from_numpy(np.arange(len(events)) * length + ends).to(device))
    V = vectors(candidates)  # (n, 1 + negatives, B)
    slots = encoded.slots[events][:, None]
    counts = encoded.popularity.counts(candidates, slots)
    factors = encoded.popularity.factors(counts, np.broadcast_to(slots, counts.shape))
    effect = graph.f_pop(torch.from_numpy(factors).to(device)) @ graph.W_z
    scores = (U[:, None] * V).sum(-1) + effect
    same = torch.zeros(scores.shape, dtype=torch.bool, device=device)
    same[:, 1:] = torch.from_numpy(candidates[:, 1:] == candidates[:, :1]).to(device)
    none = torch.zeros(len(events), dtype=torch.long, device=device)
    return F.cross_entropy(scores.masked_fill(same, -torch.inf), none)


def update(trainer: Trainer, make_loss: Callable[[], torch.Tensor]) -> None:
    """Take a step of the trainer's own optimisers, in the numbers that it computes in."""
    with autocast(trainer.config.precision, trainer.device):
        loss = make_loss()
    for optimizer in trainer.optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for optimizer in trainer.optimizers:
        optimizer.step()


def timed(step: Callable[[Batch], object], batch: Batch) -> float:
    """Return the seconds that one step takes; on CUDA until it is done, not only asked for."""
    started = time.perf_counter()
    step(batch)
    if batch.targets.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def time_round(
    steps: dict[str, Callable[[Batch], object]], stream: Iterator[Batch], num_steps: int, of_padded: int
) -> dict[str, float]:
    """Return queries a second of each. (a) and (b) take the same batches in turn: a busy moment then slows both."""
    seconds, queries = dict.fromkeys(steps, 0.0), dict.fromkeys(steps, 0)
    started = time.perf_counter()
    batches = list(itertools.islice(stream, num_steps))
    reading = time.perf_counter() - started
    for number, batch in enumerate(batches):
        for name in ("ab", "ba")[number % 2]:
            seconds[name] += timed(steps[name], batch)
            queries[name] += batch.num_queries
    for batch in batches[:of_padded]:
        seconds["c"] += timed(steps["c"], batch)
        queries["c"] += PADDED
    rates = {name: queries[name] / seconds[name] for name in steps}
    return rates | {"a and batch": queries["a"] / (seconds["a"] + reading)}


def main() -> None:
    """Time the three and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--domain", help="an imported domain")
    what.add_argument("--data", help="the raw Online Retail file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of (a) and of (b) in each round")
    parser.add_argument("--padded-steps", type=int, default=2, help="of (c) in each round")
    parser.add_argument("--precision", choices=get_args(Precision), default="auto", help="of all three")
    parser.add_argument("--batch-tokens", type=int, default=TrainConfig().batch_tokens)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as `prerec-pyro train` does
    domain = Domain.load(options.domain) if options.domain else read_online_retail(options.data)
    encoded = encode_domain(domain)
    users = split_users(domain).train
    config = TrainConfig(batch_tokens=options.batch_tokens, precision=options.precision)
    trainers = {name: make_trainer(encoded, users, config, device) for name in "abc"}

    rng = np.random.default_rng(0)
    starts = domain.offsets[:-1][domain.user_of_event]
    is_user = np.isin(domain.user_of_event, users)
    queries = np.flatnonzero(is_user & (np.arange(domain.num_interactions) > starts))

    def padded(_: Batch) -> None:
        events = rng.choice(queries, PADDED, replace=False)
        update(trainers["c"], lambda: padded_loss(trainers["c"], encoded, events, starts[events]))

    steps: dict[str, Callable[[Batch], object]] = {
        "a": trainers["a"].step,
        "b": lambda batch: update(trainers["b"], lambda: bare_loss(trainers["b"], batch)),
        "c": padded,
    }
    stream = _endless(Source(encoded, users, 0, 0), config, device)
    batch = next(stream)
    constant = trainers["a"].peaks[batch.domain]
    torch.manual_seed(1)
    ours = float(trainers["a"].objective(batch).detach()) + constant
    torch.manual_seed(1)
    theirs = float(bare_loss(trainers["a"], batch).detach())
    print(f"one batch, same parameters: loss (a) {ours:.5f}, (b) {theirs:.5f}\n")

    rates: dict[str, list[float]] = {name: [] for name in LABELS}
    with pyro.validation_enabled(False):  # as in an epoch
        time_round(steps, stream, 3, 1)
        for _ in range(options.rounds):
            for name, value in time_round(steps, stream, options.steps, options.padded_steps).items():
                rates[name].append(value)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {options.threads} threads, "
        f"torch {torch.__version__}, {torch.cuda.get_device_name() if device.type == 'cuda' else 'no GPU'}"
    )
    print(
        f"B = 256, {config.num_negatives} negatives, {config.batch_tokens} positions a batch, {options.rounds} rounds, "
        f"precision {config.precision}\n"
    )
    print(f"{'':46}{'queries/s':>11}{'min':>9}{'max':>9}{'ratio':>8}")
    for name, values in rates.items():
        ours = rates["a and batch" if name == "c" else "a"]
        ratio = statistics.median(a / v for a, v in zip(ours, values, strict=True))
        print(f"{LABELS[name]:46}{statistics.median(values):11.0f}{min(values):9.0f}{max(values):9.0f}{ratio:8.3f}")


def _endless(source: Source, config: TrainConfig, device: torch.device) -> Iterator[Batch]:
    for number in itertools.count(1):
        for batch in source.batches(config, number):
            yield batch.to(device)


if __name__ == "__main__":
    main()

"""What does an evaluation cost a query, and are its ranks those of the dense scores?

    python benchmarks/speed/evaluation.py --model MODEL --domain DIR [--queries 5000] [--calibrated] [--dense]

Users are drawn at random until they give that many queries. `evaluate` ranks the whole catalogue for each; printed are
microseconds of CPU time and of wall time a query, and the time of its parts on the same batches: making batches, users
(f_seq), their match with all items, and all of it. Windows with one query, of users with more than 64 events, are shown
apart: there f_seq reads 64 items for one query. With ``--dense`` the evaluation is repeated without `Screening`, from
the scores alone, and the ranks are compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.subsets import random_users
from prerec_pyro.evaluation.protocol import Evaluation, evaluate
from prerec_pyro.evaluation.ranks import ranks_and_lists
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec


class Dense:
    """A recommender whose scorer offers scores alone."""

    def __init__(self, model: Any) -> None:
        self.model, self.name = model, model.name

    def scorer(self, encoded: Any) -> Callable[[Batch], torch.Tensor]:
        """Return a function from a batch to scores, and nothing else."""
        scorer = self.model.scorer(encoded)
        return lambda batch: scorer(batch)


def timed(name: str, run: Callable[[], Any], num_queries: int) -> Any:
    """Print what a run costs a query, and return its result."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:42}{1e6 * cpu / num_queries:10.1f}{1e6 * wall / num_queries:10.1f}   {cpu:8.2f} s")
    return found


def same_ranks(one: Evaluation, other: Evaluation) -> int:
    """Return how many queries have the same rank, ties included."""
    pairs = zip((one.ranking._above, one.ranking._ties), (other.ranking._above, other.ranking._ties), strict=True)
    equal = [np.concatenate(a) == np.concatenate(b) for a, b in pairs]
    return int((equal[0] & equal[1]).sum())


def parts(scorer: Any, batches: Iterable[Batch], name: str) -> None:
    """Print what the parts of a score cost."""
    batches, k = list(batches), 20
    num_queries = sum(batch.num_queries for batch in batches)
    if not num_queries:
        return
    print(f"{name}, {num_queries:,} queries")
    users = timed("  users", lambda: [scorer.users(batch) for batch in batches], num_queries)
    items = scorer.score_factors(batches[0]).items
    timed("  match", lambda: [one.match(items) for one in users], num_queries)
    generator = torch.Generator().manual_seed(0)
    timed("  all of it", lambda: [ranks_and_lists(scorer, b, b.targets, k, generator) for b in batches], num_queries)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--calibrated", action="store_true")
    parser.add_argument("--dense", action="store_true")
    options = parser.parse_args()
    plain = PreRec.load(options.model)
    encoded = plain.encode(Domain.load(options.domain))
    users = random_users(encoded.domain, np.arange(encoded.domain.num_users), options.queries)
    others = np.setdiff1d(np.arange(encoded.domain.num_users), users)[::10]
    model = CalibratedPreRec(plain, others) if options.calibrated else plain
    scorer = model.scorer(encoded)
    number = int(np.maximum(np.diff(encoded.domain.offsets)[users] - 1, 0).sum())
    print(f"{encoded.name}, {encoded.num_items:,} items, {number:,} queries, {torch.get_num_threads()} threads")
    print(f"{'microseconds a query':42}{'CPU':>10}{'wall':>10}")
    evaluate(model, encoded, users[:1], k_percent=1.0)  # what is computed once
    made = timed("evaluate", lambda: evaluate(model, encoded, users, k_percent=1.0), number)
    batches = timed("batches", lambda: [b for b, _ in query_batches(encoded, users, max_scores=1 << 21)], number)
    for name, is_single in (("windows with many queries", False), ("windows with one query", True)):
        parts(scorer, (b for b in batches if (b.num_queries == len(b.history)) == is_single), name)
    if options.dense:
        dense = timed("evaluate, dense", lambda: evaluate(Dense(model), encoded, users, k_percent=1.0), number)
        print(f"same ranks: {same_ranks(made, dense):,} of {number:,}")


if __name__ == "__main__":
    main()

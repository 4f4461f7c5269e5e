"""Is D worth something in a new store? D read off the store's own log, all networks frozen.

    python benchmarks/ranking/domain_of_new_store.py --model MODEL [--model MODEL] --domain DOMAIN

Zero-shot integrates D out. Once a store has a log, D has a posterior: here its mode given the choices of training users
in the first half of the log, and the queries of validation users in the second half are ranked, calibrated, with D
there and with D at 0. S is that of calibrated zero-shot in both, so that nothing but D differs. A domain that knows no
times gives all of its training users' log.

Prints a Markdown table, a row a model: Recall and r-NDCG at K% = 0.5 % with D and without, the difference with its
95 % interval (paired bootstrap over users), and last of the mean over the models; and by how much D raises the
probability of what was chosen, in nats a query.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.causal.drift import log_slice
from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.batching.windows import training_windows
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.splits import split_users
from prerec_pyro.evaluation.bootstrap import Difference, paired_bootstrap
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.inference.posterior.fit import point_estimates, program_of
from prerec_pyro.inference.posterior.mode import find_mode
from prerec_pyro.inference.posterior.subsample import LogSample
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec

METRICS = ("recall", "r_ndcg")


class Listening:
    """A recommender of one scorer that also keeps the log-probability of each query's target, in nats."""

    name = "as given"

    def __init__(self, inner: InterventionalScorer) -> None:
        self.inner, self.nats = inner, []

    def scorer(self, encoded: EncodedDomain) -> Listening:
        """Return itself."""
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return the inner scores."""
        scores = self.inner(batch)
        self.nats.append(scores.log_softmax(dim=1).gather(1, batch.targets[:, None])[:, 0].double().numpy())
        return scores


def read(encoded: EncodedDomain, users: np.ndarray, cut: int | None, max_log: int, evaluated: int) -> LogSample:
    """Return the choices of `users` before `cut`, at most so many, as what D is to be read off."""
    rng = np.random.default_rng(0)
    if cut is None:
        windows = training_windows(encoded.domain.offsets, users, rng)
    else:
        windows = log_slice.between(encoded.domain, None, cut)
        windows = windows[np.flatnonzero(np.isin(encoded.domain.user_of_event[windows.start], users))]
    given = windows[log_slice.sample(windows, max_log, rng)]
    part = given[log_slice.sample(given, evaluated, rng)]
    return LogSample(encoded, given, part, int(windows.num_queries.sum()))


def measured(model: PreRec, domain: Domain, max_log: int, evaluated: int) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Return users, ``(num_queries,)``; metrics and nats with D and without, ``(num_queries, 2, 3)``; |D|, choices."""
    split, cut = split_users(domain), None
    if domain.timestamps is not None and not model.encode(domain).popularity.is_static:
        cut = int(np.median(domain.timestamps))
    calibrated = CalibratedPreRec(model, split.train)
    scorer = calibrated.scorer(model.encode(domain))
    encoded, graph = scorer.encoded, model.graph.eval()
    if model.sources.row(domain) is not None:
        raise SystemExit(f"{domain.name} was trained on, it is no new store")
    sample = read(encoded, split.train, cut, max_log, evaluated)
    program = program_of(graph, model.sources, encoded, ("D", "S"), torch.float32)
    D = find_mode(program, sample, point_estimates(graph, model.sources, encoded)).values["D"][0].float()
    found = []
    for one in (scorer.given({"D": D}), scorer):
        listening = Listening(one)
        result = evaluate(listening, encoded, split.validation, k_percent=0.5)
        nats = np.concatenate(listening.nats)
        found.append(np.stack([*(result.ranking.per_query(metric) for metric in METRICS), nats], axis=1))
    later = slice(None) if cut is None else domain.timestamps[result.events] >= cut
    return result.users[later], np.stack(found, axis=1)[later], float(D.norm()), sample.num_given


def cells(users: np.ndarray, values: np.ndarray) -> str:
    """Return the cells of a row: metrics with D, without, and the differences."""
    with_D, without = values.mean(axis=0)
    means = " | ".join(f"{recall:.4f} / {r_ndcg:.4f}" for recall, r_ndcg, _ in (with_D, without))
    differences = " | ".join(map(interval, paired_bootstrap(values[:, 0] - values[:, 1], users)))
    return f"{means} | {differences}"


def interval(one: Difference) -> str:
    """Return a difference with its interval."""
    return f"{one.difference:+.4f} ({one.low:+.4f} to {one.high:+.4f})"


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", type=Path, required=True)
    parser.add_argument("--domain", type=Path, required=True)
    parser.add_argument("--max-log", type=int, default=10_000, help="choices that D is read off")
    parser.add_argument("--evaluated", type=int, default=3000, help="of these, those that the density is evaluated on")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    domain = Domain.load(options.domain)
    print("| model | choices read | length of D | with D | without | Recall | r-NDCG | nats |\n" + "|---" * 8 + "|")
    arms = []
    for path in options.model:
        users, values, length, number = measured(
            PreRec.load(path, device="cpu"), domain, options.max_log, options.evaluated
        )
        print(f"| {path.name} | {number:,} | {length:.2f} | {cells(users, values)} |", flush=True)
        arms.append(values)
    print(f"| all, {domain.name}, {len(users):,} queries | | | {cells(users, np.mean(arms, axis=0))} |", flush=True)


if __name__ == "__main__":
    main()

"""Is D worth something where it is known? The domains a model was trained on, with D and trained again without.

Give each domain folder after its option: ``--source d/a --source d/b``.

Zero-shot integrates D out, so what D is worth shows in trained domains alone, each served with its own D (eq. 6).
Prints a Markdown table: a row a source and length of the history, all queries of its validation users, r-NDCG with and
without, mean over the training seeds, and the difference in both metrics with its 95 % interval (paired bootstrap over
users).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.splits import split_users
from prerec_pyro.evaluation.bootstrap import paired_bootstrap
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.inference.guides.free_nodes import FREE_BY_DEFAULT
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training.recipes import TrainConfig

LENGTHS = {"all": (1, np.inf), "1": (1, 2), "2 to 5": (2, 6), "more": (6, np.inf)}
"""Row → how many items were met before the query, from and below."""
METRICS = ("recall", "r_ndcg")


def measured(sources: list[Domain], seed: int, free: frozenset[str]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield, for each source, events and users, ``(num_queries,)``, and metrics, ``(num_queries, 2)``."""
    model = PreRec(training=TrainConfig(seed=seed), free=free, device="cpu").fit(sources)
    for source in sources:
        found = evaluate(model, model.encode(source), split_users(source).validation, k_percent=0.5)
        yield found.events, found.users, np.stack([found.ranking.per_query(metric) for metric in METRICS], axis=1)


def rows(sources: list[Domain], seeds: int) -> Iterator[str]:
    """Yield the rows of the table."""
    arms = [
        [list(measured(sources, seed, free)) for seed in range(seeds)]
        for free in (FREE_BY_DEFAULT, frozenset(FREE_BY_DEFAULT) - {"D"})
    ]
    for k, source in enumerate(sources):
        events, users, _ = arms[0][0][k]
        with_D, without = (np.mean([one[k][2] for one in arm], axis=0) for arm in arms)  # (num_queries, 2)
        met = events - source.offsets[users]
        for name, (least, below) in LENGTHS.items():
            on = (met >= least) & (met < below)
            recall, r_ndcg = (
                f"{one.difference:+.4f} ({one.low:+.4f} to {one.high:+.4f})"
                for one in paired_bootstrap(with_D[on] - without[on], users[on])
            )
            means = f"{with_D[on, 1].mean():.4f} | {without[on, 1].mean():.4f}"
            yield f"| {source.name} | {name} | {on.sum():,} | {means} | {recall} | {r_ndcg} |"


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", action="append", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        "| source | items met | queries | r-NDCG with D | without | Recall, with less without | r-NDCG |\n|---"
        + "|---" * 6
        + "|"
    )
    for row in rows([Domain.load(folder) for folder in options.source], options.seeds):
        print(row, flush=True)


if __name__ == "__main__":
    main()

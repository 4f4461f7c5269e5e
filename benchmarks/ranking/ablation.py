"""The three graphs, and the choices of the default recipe one by one: zero-shot on validation users of a target.

Give each domain folder after its option: ``--source d/a --source d/b --target d/c``.

Prints a Markdown table, a row for each graph and choice, as it goes, by seed: r-NDCG in the sources themselves (the
mean over their validation users, each ranked by eq. 6 before S is estimated, which decides when training stops), then
Recall and r-NDCG in the target, plain and calibrated; a graph without S has no calibration.
``--part`` names some of the rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.splits import split_users
from prerec_pyro.data.subsets import random_users
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training.recipes import Recipe, TrainConfig

NUM_QUERIES = 6000
# Row → graph, settings of training, and others. W_z starts at 0: at rate 0 Z has no effect.
PARTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "extended": ("extended", {}, {}),
    "paper": ("paper", {}, {}),
    "unconfounded": ("unconfounded", {}, {}),
    "paper, whitening 0.25": ("paper", {}, {"whitening": 0.25}),
    "unconfounded, whitening 0.25": ("unconfounded", {}, {"whitening": 0.25}),
    "extended, no whitening": ("extended", {}, {"whitening": 0.0}),
    "extended, D at its prior mean": ("extended", {}, {"free": {"V"}}),
    "extended, V at its prior mean": ("extended", {}, {"free": {"D"}}),
    "extended, no effect of Z": ("extended", {"recipe": Recipe(popularity_rate=0.0)}, {}),
    "extended, S trained with the networks": ("extended", {}, {"free": {"D", "V", "S"}}),
}


def rows(
    parts: list[str], sources: list[Domain], target: Domain, seeds: int, k_percent: float, epochs: int
) -> Iterator[str]:
    """Yield a Markdown row for each graph and choice."""
    split = split_users(target)
    users = random_users(target, split.validation, NUM_QUERIES, seed=1)
    for name in parts:
        (graph, training, others), cells = PARTS[name], []
        for seed in range(seeds):
            config = TrainConfig(seed=seed, epochs=epochs, **training)
            model = PreRec(graph, training=config, device="cpu", **others).fit(sources)
            cells.append(f"{model.facts['validation_r_ndcg']:.4f}")
            encoded = model.encode(target)
            recommenders = [model, CalibratedPreRec(model, split.train)] if "S" in model.graph.edges else [model]
            for recommender in recommenders:
                found = evaluate(recommender, encoded, users, k_percent=k_percent).ranking.compute()
                cells.append(f"{found['recall']:.4f} / {found['r_ndcg']:.4f}")
            cells += ["–"] * (2 - len(recommenders))
        yield f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", action="append", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--part", action="append", choices=PARTS, help="some rows only")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--k-percent", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    heads = [f"seed {seed}{kind}" for seed in range(options.seeds) for kind in (", sources", "", ", calibrated")]
    print("| part | " + " | ".join(heads) + " |\n|---" + "|---" * len(heads) + "|", flush=True)
    sources = [Domain.load(folder) for folder in options.source]
    target, parts = Domain.load(options.target), options.part or list(PARTS)
    for row in rows(parts, sources, target, options.seeds, options.k_percent, options.epochs):
        print(row, flush=True)


if __name__ == "__main__":
    main()

"""How far is the paper's shortcut, D = 0, from the back-door adjustment in full, E_D P(R | do(…), D)?

    python benchmarks/ranking/back_door.py --model MODEL --domain DIR [--users 200] [--draws 32] [--scales 1,4,16]

On validation users of the domain: the share of the top 20 that both list, the total variation of the choice
probabilities, Recall and r-NDCG of both with the paired bootstrap of the difference, and how far two independent sets
of draws are apart, by Monte Carlo and by Sobol points, which is the error of the average itself. `--scales` also tries
priors of D that many times as wide.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch

from prerec_pyro import BackdoorAdjustedPreRec, Domain, PreRec
from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.data.splits import split_users
from prerec_pyro.evaluation.bootstrap import paired_bootstrap
from prerec_pyro.evaluation.metrics import RankingMetrics, target_ranks
from prerec_pyro.priors import Normal

LIST = 20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--domain", type=Path, required=True)
    parser.add_argument("--users", type=int, default=200, help="validation users, the first so many")
    parser.add_argument("--draws", type=int, default=32)
    parser.add_argument("--scales", default="1,4,16", help="widths of D's prior, in units of the model's own")
    parser.add_argument("--k-percent", type=float, default=0.5)
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    model = PreRec.load(asked.model, "cpu")
    encoded = model.encode(Domain.load(asked.domain))
    users = split_users(encoded.domain).validation[: asked.users]
    own = model.priors.D.scale
    for scale in map(float, asked.scales.split(",")):
        model.graph.priors = dataclasses.replace(model.priors, D=Normal(own * scale))
        compare(model, encoded, users, asked, own * scale)


def compare(model: PreRec, encoded, users: np.ndarray, asked: argparse.Namespace, scale: float) -> None:
    ways = {
        f"{sampling} {seed}": BackdoorAdjustedPreRec(model, num_draws=asked.draws, sampling=sampling, seed=seed)
        for sampling in ("monte-carlo", "sobol")
        for seed in (0, 1)
    }
    scorers = {"shortcut": model.scorer(encoded)} | {name: way.scorer(encoded) for name, way in ways.items()}
    metrics = {name: RankingMetrics(encoded.num_items, asked.k_percent) for name in scorers}
    pairs = [("shortcut", "sobol 0"), ("monte-carlo 0", "monte-carlo 1"), ("sobol 0", "sobol 1")]
    apart = {pair: ([], []) for pair in pairs}
    whose = []
    for batch, events in query_batches(encoded, users):
        log_p = {name: scorer(batch).log_softmax(1) for name, scorer in scorers.items()}
        for name, one in log_p.items():
            metrics[name].update(*target_ranks(one, batch.targets))
        shown = {name: one.topk(LIST).indices for name, one in log_p.items()}
        for (a, b), (variation, overlap) in apart.items():
            variation.append(0.5 * (log_p[a].exp() - log_p[b].exp()).abs().sum(1))
            both = (shown[a][:, :, None] == shown[b][:, None, :]).any(2)
            overlap.append(both.double().mean(1))
        whose.append(encoded.domain.user_of_event[events])
    print(f"\nD ~ Normal(0, {scale:g}), {asked.draws} draws, {metrics['shortcut'].num_queries:,} queries")
    for (a, b), (variation, overlap) in apart.items():
        tv, same = torch.cat(variation), torch.cat(overlap)
        print(
            f"  {a} | {b}: top-{LIST} overlap {same.mean():.4f} (all {LIST}: {(same == 1).double().mean():.1%}), "
            f"total variation {tv.mean():.5f} (largest {tv.max():.5f})"
        )
    for metric in ("recall", "r_ndcg"):
        ours, theirs = metrics["sobol 0"].per_query(metric), metrics["shortcut"].per_query(metric)
        (gain,) = paired_bootstrap((ours - theirs)[:, None], np.concatenate(whose))
        print(
            f"  {metric}: shortcut {theirs.mean():.4f}, in full {ours.mean():.4f}, difference {gain.difference:+.5f} "
            f"(95 % {gain.low:+.5f} to {gain.high:+.5f})"
        )


if __name__ == "__main__":
    main()

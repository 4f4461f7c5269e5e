"""Are the posteriors calibrated? Worlds are drawn from the program; where do the true D, S and W_z stand among draws?

Simulation-based calibration (Talts et al. 2018): over worlds whose latents are drawn from the prior, the rank of the
truth among the draws of an exact posterior is uniform. The networks are known; small worlds, so that NUTS is quick.

    python benchmarks/ranking/calibration_of_posteriors.py --worlds 100 --out FILE.md
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import chisquare

from prerec_pyro.inference.posterior.diagnostics import k_hat
from prerec_pyro.inference.posterior.fit import infer_posterior
from prerec_pyro.inference.prior.synthetic_domain import draw_domain, draw_latents
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.config import ExtendedConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.priors import Normal, Priors

DIM, NUM_ITEMS, NUM_USERS, NUM_DAYS = 4, 30, 40, 6
NUM_RANKS, BINS, INTERVAL = 99, 10, 0.9
SETTINGS = {
    "nuts": {"draws": 198, "chains": 1, "warmup": 120},
    "laplace": {"draws": NUM_RANKS},
    "normal": {"draws": NUM_RANKS, "restarts": 1, "steps": 200},
    "low_rank": {"draws": NUM_RANKS, "restarts": 1, "steps": 200},
}


def networks() -> ExtendedGraph:
    """The one graph of all worlds: random networks that make every latent matter."""
    torch.manual_seed(0)
    config = ExtendedConfig(latent_dim=DIM, num_layers=1, feedforward=1, dropout=0, sharpness=3)
    priors = Priors(D=Normal(0.5), W_z=Normal(1.0))
    graph = ExtendedGraph(config, num_domains=1, text_dim=DIM, priors=priors).eval()
    with torch.no_grad():
        graph.f_pop.linear.weight += 0.5 * torch.randn_like(graph.f_pop.linear.weight)
        graph.likelihood.w_r += 0.5
        for block in graph.f_seq.blocks:
            for layer in (block.attention_out, block.contract):
                layer.weight += 0.5 * torch.randn_like(layer.weight)
    return graph


def one_world(number: int, methods: list[str]) -> list[dict]:
    """Ranks and coverage of one world's latents, a row a method and number."""
    graph, sources = networks(), TrainedDomains(nodes={"W_z": torch.zeros(DIM)})
    torch.manual_seed(10_000 + number)
    truth = draw_latents(graph)
    texts = np.random.default_rng(number).normal(size=(NUM_ITEMS, DIM)).astype(np.float32) / DIM**0.5
    encoded, _ = draw_domain(graph, truth, texts, num_users=NUM_USERS, num_days=NUM_DAYS, seed=number)
    rows = []
    for method in methods:
        begun = time.process_time()
        found = infer_posterior(
            graph,
            sources,
            encoded,
            np.arange(NUM_USERS),
            method,
            queries=None,
            seed=number,
            **SETTINGS[method],
        )
        seconds = time.process_time() - begun
        ratios = None
        if "log_q" in found.statistics:
            ratios = (found.statistics["lp"] - found.statistics["log_q"])[0].double().numpy()
        k = np.nan if ratios is None else k_hat(ratios)
        for site, draws in found.thinned(NUM_RANKS).items():
            true = truth[site].flatten()
            rank = (draws < true).sum(0)
            low, high = found.draws[site].flatten(0, 1).quantile(torch.tensor([0.05, 0.95]), dim=0)
            z = (true - draws.mean(0)) / draws.std(0)
            for i in range(len(true)):
                inside = bool(low[i] <= true[i] <= high[i])
                rows.append(
                    {"world": number, "method": method, "site": site, "number": i, "rank": int(rank[i])}
                    | {"inside": inside, "z": float(z[i]), "k_hat": k, "seconds": seconds}
                )
    return rows


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a method and site: chi-square of the ranks, coverage of the 90 % intervals."""
    result = []
    for (method, site), part in rows.groupby(["method", "site"], sort=False):
        counts = np.bincount(part["rank"] * BINS // (NUM_RANKS + 1), minlength=BINS)
        worlds = part.drop_duplicates("world")
        result.append(
            {
                "method": method,
                "site": site,
                "worlds": len(worlds),
                "ranks": len(part),
                "chi-square p": round(float(chisquare(counts).pvalue), 4),
                "histogram of ranks": " ".join(str(count) for count in counts),
                "90 % interval covers": f"{part['inside'].mean():.3f}",
                "sd of z": f"{part['z'].std():.2f}",
                "k-hat < 0.7": "-" if worlds["k_hat"].isna().all() else f"{(worlds['k_hat'] < 0.7).mean():.2f}",
                "CPU seconds a world": f"{worlds['seconds'].median():.1f}",
            }
        )
    return pd.DataFrame(result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--methods", default="nuts,laplace,normal,low_rank")
    parser.add_argument("--rows", type=Path, help="CSV to keep the ranks in, and to go on from")
    parser.add_argument("--out", type=Path, help="Markdown to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = pd.read_csv(arguments.rows) if arguments.rows and arguments.rows.exists() else pd.DataFrame({"world": []})
    for number in range(arguments.first, arguments.first + arguments.worlds):
        if not (rows["world"] == number).any():
            rows = pd.concat([rows, pd.DataFrame(one_world(number, arguments.methods.split(",")))], ignore_index=True)
            if arguments.rows:
                rows.to_csv(arguments.rows, index=False)
    found = table(rows)
    print(found.to_string(index=False))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        columns = list(found.columns)
        lines = [columns, ["---"] * len(columns), *found.astype(str).values.tolist()]
        arguments.out.write_text("\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""How often does `drift_report` raise an alarm where nothing has changed, and how often where something has?

    python benchmarks/ranking/drift.py [--logs 40] [--users 1500] [--items 200]

A small model is pre-trained on three simulated stores. Then fresh stores are drawn, each a log of 60 days.
*Stationary*: drawn as it is. *Drifted*: the same store, whose last 20 days are drawn with another story, popularity at
a third of its strength, say. What was known is estimated on the first 40 days. Prints the share of alarms.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from prerec_pyro import ExtendedConfig, PreRec, TrainConfig
from prerec_pyro.causal import drift_report
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.simulation.simulate import FIRST_DAY, SimulationConfig, simulate
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.training.recipes import Recipe

DAYS, CUT = 60, 40
ALPHAS = (0.01, 0.05, 0.2)
STORIES = {
    "stationary": SimulationConfig(),
    "popularity x 1/3": SimulationConfig(popularity_weight=1.1 / 3),
    "matches x 0.7": SimulationConfig(sharpness=8.0 * 0.7),
    "no memory of the history": SimulationConfig(history=0.0, taste=0.95),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=40)
    parser.add_argument("--users", type=int, default=1500)
    parser.add_argument("--items", type=int, default=200)
    asked = parser.parse_args()
    size = {"num_items": asked.items, "num_users": asked.users, "num_days": DAYS, "latent_dim": 8}
    sources = [store(number, SimulationConfig(), size) for number in range(1, 4)]
    model = PreRec(
        ExtendedConfig(latent_dim=16),
        training=TrainConfig(epochs=3, seed=0, k_percent=5.0, recipe=Recipe(validation_queries=300)),
        device="cpu",
    ).fit(sources)
    for name, story in STORIES.items():
        number = asked.logs if name == "stationary" else max(asked.logs // 5, 1)
        p = np.array([once(model, 100 + log, story, size) for log in range(number)])
        shares = ", ".join(f"{(p < alpha).mean():.3f} at {alpha:g}" for alpha in ALPHAS)
        print(f"{name}: {number} logs, alarms {shares}; median p {np.median(p):.3g}", flush=True)


def store(seed: int, story: SimulationConfig, size: dict[str, int]) -> Domain:
    drawn = simulate(1, seed=seed, config=story, **size)[0]
    projection = np.random.default_rng(0).standard_normal((size["latent_dim"], 24))
    vectors = drawn.truth.item_mean @ projection
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return replace(drawn.domain.with_embeddings(vectors), name=f"store-{seed}")


def once(model: PreRec, seed: int, story: SimulationConfig, size: dict[str, int]) -> float:
    """Return the p-value of one store whose last days follow a story; the schedule does not depend on it."""
    plain, other = store(seed, SimulationConfig(), size), store(seed, story, size)
    cut = (FIRST_DAY + CUT) * SECONDS_PER_DAY
    late = plain.timestamps >= cut
    if not (np.array_equal(plain.timestamps, other.timestamps) and np.array_equal(plain.item_ids, other.item_ids)):
        raise RuntimeError("the two stories do not share their schedule and catalogue")
    spliced = replace(plain, item_index=np.where(late, other.item_index, plain.item_index))
    return drift_report(model, spliced, cut, seed=seed).p_value


if __name__ == "__main__":
    main()

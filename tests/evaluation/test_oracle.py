from __future__ import annotations

import numpy as np

from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.data.simulation.simulate import simulate
from prerec_pyro.evaluation.oracle import Oracle
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.models.baselines import SBERT, MostPopular


def test_the_oracle_is_beaten_by_nobody_and_needs_popularity() -> None:
    (world,) = simulate(1, seed=3, num_items=150, num_users=200, num_days=40)
    domain = world.domain.with_embeddings(world.truth.item_mean.astype(np.float32))
    encoded, users = encode_domain(domain), np.arange(domain.num_users)
    methods = [Oracle(world.truth), Oracle(world.truth, popularity=False), MostPopular(), SBERT()]
    oracle, blind, *others = (evaluate(m, encoded, users, k_percent=2.0).ranking.compute()["r_ndcg"] for m in methods)
    assert oracle > max(blind, *others)
    assert oracle > 1.05 * blind

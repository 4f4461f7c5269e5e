"""Domains drawn from the graph itself: SVI finds the D that they were drawn with."""

from __future__ import annotations

import numpy as np
import torch

from prerec_pyro.inference.guides.map_guide import NonCenteredModel, map_guide, trained_nodes
from prerec_pyro.models.graphs.config import PaperConfig
from prerec_pyro.models.priors import Normal, Priors
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.objective import map_trainer
from prerec_pyro.training.recipes import Recipe, TrainConfig
from tests.support.drawn_domains import draw_domain, draw_texts
from tests.support.models import PlainGraph

DIM, NUM_ITEMS, NUM_USERS, NUM_DOMAINS = 8, 60, 800, 3


def test_D_is_recovered_given_the_networks() -> None:
    torch.manual_seed(0)
    config = PaperConfig(latent_dim=DIM, num_layers=1, feedforward=1, dropout=0, history_dropout=0, sharpness=3)
    graph = PlainGraph(config, num_domains=NUM_DOMAINS, text_dim=DIM, priors=Priors(D=Normal(0.5))).eval()
    D = 0.5 * torch.randn(NUM_DOMAINS, DIM)
    texts = draw_texts(NUM_DOMAINS, NUM_ITEMS, DIM)
    domains = [draw_domain(graph, D, texts[k], k, num_users=NUM_USERS, length=6) for k in range(NUM_DOMAINS)]

    still = dict.fromkeys(("learning_rate", "text_rate"), 0.0)
    recipe = Recipe(domain_rate=0.05, popularity_rate=0.0, repeat_rate=0.0)
    training = TrainConfig(epochs=3, batch_tokens=500, num_negatives=128, recipe=recipe, **still)
    program = NonCenteredModel(graph, {"D"})
    guide = map_guide(program, NUM_DOMAINS * NUM_ITEMS, {"D"})
    sources = [Source(e, np.arange(NUM_USERS), k, k * NUM_ITEMS) for k, e in enumerate(domains)]
    map_trainer(program, guide, sources, training).fit()
    found = trained_nodes(guide)["D"]
    correlation = np.corrcoef(found.flatten().numpy(), D.flatten().numpy())[0, 1]
    print(f"correlation of estimated and true D: {correlation:.4f}")
    assert correlation > 0.95
    slope = float((found * D).sum() / (D * D).sum())
    assert 0.8 < slope < 1.2, "and at its true length"

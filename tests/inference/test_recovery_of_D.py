"""Domains drawn from the graph itself: SVI finds the D that they were drawn with."""

from __future__ import annotations

import numpy as np
import pyro
import torch

from prerec_pyro.data.batches import candidates_batch
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.inference.elbo import map_trainer
from prerec_pyro.inference.guides import NonCentred, map_guide, noncentred, trained_nodes
from prerec_pyro.inference.svi import Source, TrainConfig
from prerec_pyro.models.graph import GraphConfig, PreRecGraph
from prerec_pyro.models.priors import Normal, Priors

DIM, NUM_ITEMS, NUM_USERS, LENGTH, NUM_DOMAINS = 8, 60, 800, 6, 3


def domain_of(events: np.ndarray, texts: np.ndarray, number: int) -> EncodedDomain:
    """Users' items ``(num_users, length)`` as a domain without times."""
    domain = Domain(
        name=f"drawn-{number}",
        item_ids=[f"i{row}" for row in range(NUM_ITEMS)],
        item_texts=[""] * NUM_ITEMS,
        user_ids=[f"u{row}" for row in range(len(events))],
        offsets=np.arange(len(events) + 1) * events.shape[1],
        item_index=events.reshape(-1),
        embeddings=texts,
    )
    return encode_domain(domain)


def draw(graph: PreRecGraph, D: torch.Tensor, texts: np.ndarray, number: int) -> EncodedDomain:
    """Let users choose item by item: the program samples R given D and what each has chosen so far."""
    rng = np.random.default_rng(number)
    events = rng.integers(0, NUM_ITEMS, (NUM_USERS, 1))
    program = pyro.poutine.condition(pyro.poutine.reparam(graph, config=noncentred({"D"})), data={"D": D})
    for _ in range(LENGTH - 1):
        encoded, length = domain_of(events, texts, number), events.shape[1]
        ends = np.arange(NUM_USERS) * length + length - 1
        batch = candidates_batch(encoded, events, ends, np.ones(NUM_USERS, np.int64), domain=number)
        with torch.no_grad():
            chosen = program(batch)  # (num_users,)
        events = np.concatenate([events, chosen.numpy()[:, None]], axis=1)
    return domain_of(events, texts, number)


def test_D_is_recovered_given_the_networks() -> None:
    torch.manual_seed(0)
    config = GraphConfig(latent_dim=DIM, num_layers=1, feedforward=1, dropout=0, sharpness=3, wandering=False)
    graph = PreRecGraph(config, num_domains=NUM_DOMAINS, text_dim=DIM, priors=Priors(D=Normal(0.5))).eval()
    D = 0.5 * torch.randn(NUM_DOMAINS, DIM)
    rng = np.random.default_rng(0)
    texts = [rng.normal(size=(NUM_ITEMS, DIM)).astype(np.float32) / DIM**0.5 for _ in range(NUM_DOMAINS)]
    domains = [draw(graph, D, texts[k], k) for k in range(NUM_DOMAINS)]

    still = dict.fromkeys(("learning_rate", "text_rate", "popularity_rate", "repeat_rate"), 0.0)
    training = TrainConfig(epochs=3, domain_rate=0.05, batch_tokens=500, num_negatives=128, min_steps=20, **still)
    program = NonCentred(graph, {"D"})
    guide = map_guide(program, NUM_DOMAINS * NUM_ITEMS, {"D"})
    sources = [Source(e, np.arange(NUM_USERS), k, k * NUM_ITEMS) for k, e in enumerate(domains)]
    map_trainer(program, guide, sources, training).fit()
    found = trained_nodes(guide)["D"]
    correlation = np.corrcoef(found.flatten().numpy(), D.flatten().numpy())[0, 1]
    print(f"correlation of estimated and true D: {correlation:.4f}")
    assert correlation > 0.95
    slope = float((found * D).sum() / (D * D).sum())
    assert 0.8 < slope < 1.2, "and at its true length"

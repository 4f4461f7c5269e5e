"""The contract that every recommender keeps. A new one joins by one line in `RECOMMENDERS`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, candidates_batch, catalogue_batch, query_batches
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.models.baselines import SBERT, MostPopular, Random
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.models.graphs.config import ExtendedConfig, GraphConfig, PaperConfig, UnconfoundedConfig
from prerec_pyro.ranking.lists import Recommender
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.registry import METHODS
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training.baseline_configs import BaselineTraining
from prerec_pyro.training.recipes import TrainConfig
from tests.support.graphs import all_windows, make_domain, make_encoded


def fitted(epochs: int, graph: type[GraphConfig] = ExtendedConfig) -> PreRec:
    config = graph(latent_dim=8, num_layers=1)
    training = TrainConfig(epochs=epochs, num_negatives=5, batch_tokens=40)
    sources = [make_domain("timed"), make_domain("other", timed=False, seed=3)]  # "timed" is the fixture's domain
    return PreRec(config, training=training, device="cpu").fit(sources)


def learned(method: str, tuned_on: EncodedDomain | None = None, **settings: object) -> TextBaseline:
    config = LEARNED[method].config(latent_dim=8, num_layers=1, **settings)
    training = BaselineTraining(epochs=1, num_negatives=5, batch_tokens=40)
    model = TextBaseline(method, config, training=training, device="cpu")
    model.fit([make_domain("timed"), make_domain("other", timed=False, seed=3)])
    return model if tuned_on is None else model.fine_tune(tuned_on, training=training)


RECOMMENDERS: dict[str, Callable[[], Recommender]] = {
    "random": Random,
    "pop": MostPopular,
    "sbert": SBERT,
    "prerec, untrained": lambda: fitted(epochs=0),
    "prerec, one epoch": lambda: fitted(epochs=1),
    "prerec, calibrated": lambda: CalibratedPreRec(fitted(epochs=1)),
    "prerec_paper": lambda: fitted(epochs=1, graph=PaperConfig),
    "prerec_n": lambda: fitted(epochs=1, graph=UnconfoundedConfig),
    "gru4rec": lambda: learned("gru4rec"),
    "sasrec": lambda: learned("sasrec"),
    "zesrec": lambda: learned("zesrec"),
    "unisrec": lambda: learned("unisrec"),
    "unisrec, inductive": lambda: learned("unisrec", make_encoded("timed")),
    "unisrec, transductive": lambda: learned("unisrec", make_encoded("timed"), tuning="transductive"),
}


@pytest.fixture(scope="module", params=list(RECOMMENDERS))
def recommender(request: pytest.FixtureRequest) -> Recommender:
    return RECOMMENDERS[request.param]()


@pytest.fixture(scope="module", params=["timed", "untimed", "long"])
def world(request: pytest.FixtureRequest) -> EncodedDomain:
    """A domain that the models are trained on, one that is new to them, and one with histories beyond 64 items."""
    if request.param == "long":
        return make_encoded("long", lengths=(70, 3, 1, 5), num_items=30, seed=2)
    return request.getfixturevalue(request.param)


def whole(encoded: EncodedDomain) -> Batch:
    return catalogue_batch(encoded, all_windows(encoded))[0]


def tensors(batch: Batch) -> dict[str, Tensor]:
    named = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: value.clone() for name, value in named.items() if isinstance(value, Tensor)}


def test_scores_every_item_for_every_query(recommender: Recommender, world: EncodedDomain) -> None:
    batch = whole(world)
    scores = recommender.scorer(world)(batch)
    assert scores.shape == (batch.num_queries, world.num_items)
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    assert not scores.requires_grad
    assert isinstance(recommender.name, str)


def test_scores_do_not_depend_on_the_other_queries(recommender: Recommender, world: EncodedDomain) -> None:
    scorer, users = recommender.scorer(world), np.arange(world.domain.num_users)
    together = {}
    for batch, events in query_batches(world, users):
        together |= dict(zip(events.tolist(), scorer(batch), strict=True))
    offsets = world.domain.offsets
    assert sorted(together) == [e for u in users for e in range(offsets[u] + 1, offsets[u + 1])]
    for event, scores in together.items():
        first = max(offsets[world.domain.user_of_event[event]], event - 64)
        history = world.domain.item_index[first:event][None]
        end = np.array([history.shape[1] - 1])
        alone = scorer(candidates_batch(world, history, end, world.slots[[event]]))
        torch.testing.assert_close(alone[0], scores, rtol=1e-4, atol=1e-5)


def test_scoring_leaves_the_batch_unchanged(recommender: Recommender, world: EncodedDomain) -> None:
    batch = whole(world)
    before, scorer = tensors(batch), recommender.scorer(world)
    scores = scorer(batch)
    copy = scores.clone()
    scores.fill_(torch.nan)  # callers may write into the scores, to hide seen items
    torch.testing.assert_close(scorer(batch), copy, rtol=0, atol=0)
    after = tensors(batch)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_scoring_needs_no_targets(recommender: Recommender, world: EncodedDomain) -> None:
    batch, scorer = whole(world), recommender.scorer(world)
    without = dataclasses.replace(batch, targets=None)
    torch.testing.assert_close(scorer(without), scorer(batch), rtol=0, atol=0)


def test_names_differ() -> None:
    assert len({kind.name for kind in (Random, MostPopular, SBERT)} | set(METHODS)) == 10


def test_random_scores_all_items_equally(timed: EncodedDomain) -> None:
    assert Random().scorer(timed)(whole(timed)).unique().numel() == 1


def test_most_popular_ranks_by_count_in_the_window(timed: EncodedDomain) -> None:
    domain = timed.domain
    batch, events = catalogue_batch(timed, all_windows(timed))
    scores = MostPopular().scorer(timed)(batch)
    for row, day in enumerate(domain.days[events]):
        recent = (domain.days < day) & (domain.days >= day - 15)
        if not recent.any():  # the first day, before which nothing happened
            assert day == domain.days.min()
        expected = np.bincount(domain.item_index[recent], minlength=domain.num_items)
        assert scores[row].tolist() == expected.tolist()


def test_sbert_finds_the_item_with_the_same_text() -> None:
    embeddings = np.repeat(np.eye(6, dtype=np.float32), 2, axis=0)  # items 2n and 2n + 1 share a text
    domain = make_domain("twins").with_embeddings(embeddings)
    encoded = PreRec(device="cpu").encode(domain)
    batch, events = catalogue_batch(encoded, all_windows(encoded))
    scores = SBERT().scorer(encoded)(batch)
    for row, last in enumerate(domain.item_index[events - 1]):
        best = {int(last), int(last) ^ 1}
        assert set(scores[row].topk(2).indices.tolist()) == best
        assert scores[row].sum() == 2

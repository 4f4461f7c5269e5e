"""New items in a store: a model learns what new items have in its sources, keeps it, and counts them so elsewhere."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from prerec_pyro.data import newcomers
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.newcomers import NewcomerPopularity, newcomer_popularity
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.inference.trained_domains import NEWCOMERS
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.causal_fixtures import popular
from tests.support.models import TEXT_DIM, prerec, shaken, training

FIRST_DAY, DAYS = 15_000, 30
LEARNT = NewcomerPopularity(np.array([3.0, 2.5, 2.0]), unseen=0.0, num_domains=2)  # prerec() has a window of 3 days


def store(name: str, *, seed: int, num_items: int = 14, listed: bool = False) -> Domain:
    """Users of three events on three days; items appear one after the other, the last one has no event."""
    rng = np.random.default_rng(seed)
    born = np.sort(rng.integers(0, DAYS - 5, num_items - 1))
    born[:3] = 0
    begin = rng.integers(0, DAYS - 2, 120)
    days = (begin[:, None] + np.arange(3)).reshape(-1)
    items = np.array([rng.choice(np.flatnonzero(born <= day)) for day in days])
    texts = rng.standard_normal((num_items, TEXT_DIM)).astype(np.float32)
    ids = [f"{name}-i{item}" for item in range(num_items)]
    users = [f"{name}-u{user}" for user in range(len(begin))]
    first_seen = np.full(num_items, -1)
    first_seen[-1] = FIRST_DAY + int(days.max())
    return Domain(
        name,
        ids,
        ids,
        users,
        np.arange(0, len(days) + 1, 3),
        items,
        (FIRST_DAY + days) * SECONDS_PER_DAY,
        embeddings=texts / np.linalg.norm(texts, axis=1, keepdims=True),
        first_seen=first_seen if listed else None,
    )


A, B = store("a", seed=1), store("b", seed=2)
NEW = store("new", seed=3, listed=True)


@pytest.fixture(scope="module")
def fitted() -> PreRec:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newcomers, "FEWEST_EVENTS", 1)
        return prerec().fit([A, B])


@pytest.fixture
def model(fitted: PreRec) -> PreRec:
    """The model with numbers anywhere but at their start, popular items first, and a table of its own."""
    made = prerec()
    made._graph, made.sources = copy.deepcopy(fitted.graph), dataclasses.replace(fitted.sources)
    made.facts = dict(fitted.facts)
    made = popular(shaken(made))
    made.sources.nodes[NEWCOMERS] = torch.from_numpy(LEARNT.as_array())
    return made


def without_table(model: PreRec) -> PreRec:
    del model.sources.nodes[NEWCOMERS]
    return model


def lists(model: PreRec, domain: Domain) -> pd.DataFrame:
    return model.recommend(domain, k=domain.num_items, seen="keep")


def test_a_model_learns_what_new_items_have_in_its_sources(fitted: PreRec, monkeypatch) -> None:
    monkeypatch.setattr(newcomers, "FEWEST_EVENTS", 1)
    learnt = newcomer_popularity([A, B], window=3)
    assert learnt.by_age.min() > 0
    np.testing.assert_array_equal(fitted.sources.nodes[NEWCOMERS].numpy(), learnt.as_array())
    np.testing.assert_allclose(fitted.sources.newcomers.by_age, learnt.by_age, rtol=1e-6)


@pytest.mark.parametrize("graph", ["paper", "unconfounded"])
def test_graphs_of_the_paper_count_as_the_paper_does(graph: str, monkeypatch) -> None:
    monkeypatch.setattr(newcomers, "FEWEST_EVENTS", 1)
    plain = prerec(graph).fit([A, B])
    assert NEWCOMERS not in plain.sources.nodes
    assert plain.encode(NEW).newcomers is None


def test_sources_are_served_as_they_were_trained(model: PreRec) -> None:
    assert model.encode(A).newcomers is None
    assert model.encode(NEW).newcomers is not None
    assert CalibratedPreRec(model).encode(NEW).newcomers is not None
    assert prerec().encode(NEW).newcomers is None


def test_a_new_item_scores_higher_and_an_old_one_does_not_move(model: PreRec) -> None:
    encoded = model.encode(NEW)
    slot, last = np.array([encoded.popularity.last_slot]), NEW.num_items - 1
    is_new = np.isin(np.arange(NEW.num_items), encoded.newcomers.among(slot).column)
    assert is_new[last]
    assert not is_new[:5].any()
    scores = {}
    for name, domain in (("raised", encoded), ("plain", encoded.with_newcomers(None))):
        scorer = model.scorer(domain)
        table = model.score(domain, pd.DataFrame({"user_id": NEW.user_ids[0], "item_id": NEW.item_ids}))
        scores[name] = table.to_numpy()
        np.testing.assert_allclose(scorer.item_vectors_at_end(), model.embed(NEW), err_msg="V reads no popularity")
    risen = scores["raised"] - scores["plain"]
    assert risen[last] > 0.1
    assert (risen[is_new] > risen[~is_new].max()).all()


def test_lists_of_people_with_and_without_a_history_follow(model: PreRec) -> None:
    """The new item rises in the lists, which are made from factors, and in the list of somebody without a history."""

    def ranks(one: PreRec) -> list[float]:
        tables = lists(one, NEW), one.recommend(NEW, ["nobody"], unknown="popular", k=NEW.num_items)
        return [float(table["rank"][table["item_id"] == NEW.item_ids[-1]].mean()) for table in tables]

    raised = ranks(model)
    plain = ranks(without_table(model))
    assert raised[0] < plain[0] - 1
    assert raised[1] < plain[1]


def test_scores_read_no_event_of_the_future(model: PreRec) -> None:
    """The list on a day is that of the log before this day."""
    day = 22
    kept = NEW.timestamps < (FIRST_DAY + day) * SECONDS_PER_DAY
    num = np.bincount(NEW.user_of_event[kept], minlength=NEW.num_users)
    cut = dataclasses.replace(
        NEW,
        user_ids=NEW.user_ids[num > 0],
        offsets=np.concatenate([[0], num[num > 0].cumsum()]),
        item_index=NEW.item_index[kept],
        timestamps=NEW.timestamps[kept],
        first_seen=np.where(NEW.first_seen >= FIRST_DAY + day, -1, NEW.first_seen),
    )
    at, people = (FIRST_DAY + day) * SECONDS_PER_DAY, cut.user_ids.tolist()
    model.sources.nodes["S_sources"] = model.sources.nodes["S_sources"][:1]  # S is not predicted
    found, expected = (model.recommend(one, people, at=at, k=13, seen="keep") for one in (NEW, cut))
    assert model.encode(NEW).newcomers.among(model.encode(NEW).popularity.slots([FIRST_DAY + day])).kind.min() < 3
    pd.testing.assert_frame_equal(found, expected)


def test_the_table_is_saved_and_exported(model: PreRec, tmp_path: Path) -> None:
    model.save(tmp_path / "saved")
    model.export(tmp_path / "exported", dtype="float32")
    expected = lists(model, NEW)
    for name in ("saved", "exported"):
        loaded = PreRec.load(tmp_path / name, device="cpu")
        np.testing.assert_array_equal(loaded.sources.nodes[NEWCOMERS].numpy(), LEARNT.as_array())
        pd.testing.assert_frame_equal(lists(loaded, NEW), expected)


def test_a_model_without_a_table_serves_as_before(model: PreRec, tmp_path: Path) -> None:
    """As one that was saved before there was one: new items count as the log counts them."""
    plain = model.encode(NEW).with_newcomers(None)
    expected = model.recommend(plain, k=5)
    without_table(model).save(tmp_path / "old")
    old = PreRec.load(tmp_path / "old", device="cpu")
    assert old.sources.newcomers is None
    assert old.encode(NEW).newcomers is None
    pd.testing.assert_frame_equal(old.recommend(NEW, k=5), expected)


def test_a_fine_tuned_store_has_newcomers_as_well(model: PreRec, tmp_path: Path) -> None:
    tuned = model.fine_tune(NEW, training=training(epochs=1))
    assert tuned.sources.row(NEW) == 0
    tuned.save(tmp_path / "tuned")
    for one in (tuned, PreRec.load(tmp_path / "tuned", device="cpu")):
        np.testing.assert_array_equal(one.sources.nodes[NEWCOMERS].numpy(), LEARNT.as_array())
        assert one.encode(NEW).newcomers is not None


def test_training_on_sources_raises_nothing(model: PreRec) -> None:
    """Also if a model that knows newcomers encoded them."""
    encoded = model.encode(NEW)
    given = dataclasses.replace(encoded, domain=dataclasses.replace(NEW, name="source"))
    found = prerec().fit([given], split_seed=1).history
    assert found == prerec().fit([given.with_newcomers(None)], split_seed=1).history


def test_an_evaluation_and_a_calibration_read_raised_counts(model: PreRec) -> None:
    encoded = model.encode(NEW)
    for one in (model, CalibratedPreRec(model)):
        found, plain = (evaluate(one, d, np.arange(60), k_percent=20) for d in (encoded, encoded.with_newcomers(None)))
        assert not np.array_equal(found.ranking.per_query("r_ndcg"), plain.ranking.per_query("r_ndcg"))
        assert found.exposure.compute().keys() == plain.exposure.compute().keys()
    values = [CalibratedPreRec(model).calibration(d).values for d in (encoded, encoded.with_newcomers(None))]
    assert not torch.equal(*values)

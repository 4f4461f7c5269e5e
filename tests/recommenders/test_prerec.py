"""`PreRec` from end to end: fit, recommend, score, embed, save, load, and what it refuses."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration import store_features
from prerec_pyro.inference.trained_domains import STORES
from prerec_pyro.models.priors import Priors
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training import checkpoint
from tests.support.models import DIM, FIRST_DAY, PRIORS, graph_config, prerec, shaken, small_domain, training

A, B = small_domain("a", seed=1), small_domain("b", num_items=9, seed=2)
NEW = small_domain("new", num_items=10, seed=3)


@pytest.fixture(scope="module")
def model() -> PreRec:
    return shaken(prerec().fit([A, B]))


def day(number: float) -> int:
    return int((FIRST_DAY + number) * SECONDS_PER_DAY)


def test_fit_learns_and_says_from_what(model):
    assert model.name == "prerec"
    assert [row["epoch"] for row in model.history] == [1, 2, 3]
    assert min(row["loss"] for row in model.history[1:]) < model.history[0]["loss"] - 0.1
    assert [d["name"] for d in model.facts["domains"]] == ["a", "b"]
    assert model.facts["validation_r_ndcg"] >= max(row["validation"] for row in model.history)
    assert set(model.sources.nodes) == {"D", "S", "V_decentered", *STORES}
    assert model.sources.nodes["V_decentered"].shape == (A.num_items + B.num_items, DIM)


@pytest.mark.parametrize("domain", [A, NEW], ids=["trained", "zero-shot"])
def test_everyone_gets_a_list_of_unseen_items_best_first(model, domain):
    table = model.recommend(domain, k=4)
    assert table.columns.tolist() == ["user_id", "item_id", "score", "rank"]
    assert table["user_id"].unique().tolist() == domain.user_ids.tolist()
    log = domain.interactions_frame().groupby("user_id")["item_id"].agg(set)
    for user, rows in table.groupby("user_id"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows["score"].is_monotonic_decreasing
        assert not log[user] & set(rows["item_id"])
        assert len(rows) == min(4, domain.num_items - len(log[user]))


def test_seen_items_can_be_kept(model):
    table = model.recommend(NEW, k=50, seen="keep")
    assert (table.groupby("user_id").size() == NEW.num_items).all()


def test_lists_are_the_scores_in_order(model):
    users = NEW.user_ids[[3, 0]].tolist()
    table = model.recommend(NEW, users, k=50, seen="keep")
    assert table["user_id"].unique().tolist() == users
    log_p = model.score(NEW, table)
    assert log_p.index.equals(table.index)
    for _, rows in table.assign(log_p=log_p).groupby("user_id"):
        assert np.exp(rows["log_p"]).sum() == pytest.approx(1, abs=1e-5)
        assert np.allclose(rows["log_p"] - rows["score"], (rows["log_p"] - rows["score"]).mean(), atol=1e-4)
    odd = table.sample(frac=1, random_state=0).set_index(np.arange(len(table))[::-1] + 100)
    assert np.allclose(model.score(NEW, odd), log_p.loc[table.sample(frac=1, random_state=0).index])


def test_strangers_are_served_by_their_history_in_order_of_time(model):
    user = NEW.user_ids[0]
    log = NEW.interactions_frame().query("user_id == @user")
    own = model.recommend(NEW, [user], k=5)
    shuffled = log.sample(frac=1, random_state=1).assign(timestamp=lambda f: pd.to_datetime(f["timestamp"], unit="s"))
    assert shuffled["item_id"].tolist() != log["item_id"].tolist()
    for frame in (shuffled, log[["user_id", "item_id"]], log.assign(order=range(len(log))).drop(columns="timestamp")):
        theirs = model.recommend(NEW, histories=frame, k=5)
        pd.testing.assert_frame_equal(theirs, own)


def test_strangers_interleaved_are_told_apart(model):
    items = NEW.item_ids
    one = pd.DataFrame({"user_id": ["x", "x", "x"], "item_id": items[[1, 2, 3]]})
    other = pd.DataFrame({"user_id": ["y", "y"], "item_id": items[[5, 4]]})
    both = pd.concat([one, other]).iloc[[3, 0, 1, 4, 2]]
    together = model.recommend(NEW, histories=both, k=3)
    assert together["user_id"].unique().tolist() == ["y", "x"]
    for alone in (one, other):
        expected = model.recommend(NEW, histories=alone, k=3)
        found = together[together["user_id"] == alone["user_id"].iloc[0]].reset_index(drop=True)
        assert found["item_id"].tolist() == expected["item_id"].tolist()
        assert np.allclose(found["score"], expected["score"], atol=1e-5)


def test_at_a_moment_only_what_was_before_counts(model, caplog, monkeypatch):
    """The same as a log cut at that moment: histories, what was seen, popularity, and S as it was predicted."""
    monkeypatch.setattr(store_features, "FIRST_EVENTS", 4)  # S is predicted from the log from its first events on
    at = day(6)
    keep = NEW.timestamps < at
    frame = NEW.interactions_frame()[keep]
    cut = Domain.from_tables(frame, NEW.items_frame(), name="new").with_embeddings(NEW.embeddings)
    assert 0 < cut.num_users < NEW.num_users
    assert cut.timestamps.max() // SECONDS_PER_DAY == FIRST_DAY + 5, "the day after the cut log ends is the moment"
    with caplog.at_level(logging.WARNING):
        table = model.recommend(NEW, at=at, k=4)
    assert f"{NEW.num_users - cut.num_users} users have no event before" in caplog.text
    pd.testing.assert_frame_equal(table, model.recommend(cut, k=4))
    pd.testing.assert_frame_equal(table, model.recommend(NEW, at=pd.Timestamp(at, unit="s").isoformat(), k=4))
    later = model.recommend(NEW, cut.user_ids.tolist(), k=4)
    assert later["item_id"].tolist() != table["item_id"].tolist()


def test_strangers_too_are_read_up_to_the_moment(model):
    log = NEW.interactions_frame().assign(timestamp=lambda f: pd.to_datetime(f["timestamp"], unit="s"))
    mine = log[log["user_id"] == NEW.user_ids[NEW.timestamps[NEW.offsets[1:] - 1].argmax()]]
    at = mine["timestamp"].iloc[-1]  # not yet then
    table = model.recommend(NEW, histories=mine, at=at.isoformat(), k=3)
    pd.testing.assert_frame_equal(table, model.recommend(NEW, histories=mine.iloc[:-1], at=at.isoformat(), k=3))
    pd.testing.assert_frame_equal(
        table, model.recommend(NEW, mine["user_id"].iloc[:1].tolist(), at=at.isoformat(), k=3)
    )
    with pytest.raises(InputError, match="no event before 1990"):
        model.recommend(NEW, histories=mine, at="1990-01-01")


def test_popularity_is_that_of_the_moment(model):
    frame = pd.DataFrame({"user_id": ["x"], "item_id": [NEW.item_ids[1]]})
    early, late = (model.recommend(NEW, histories=frame, at=day(n), seen="keep") for n in (2, 10))
    assert not np.allclose(early.sort_values("item_id")["score"], late.sort_values("item_id")["score"])
    no = {"Z": 0}
    early, late = (model.recommend(NEW, histories=frame, at=day(n), seen="keep", do=no) for n in (2, 10))
    pd.testing.assert_frame_equal(early, late)


def test_before_the_first_event_nobody_has_a_list(model):
    table = model.recommend(NEW, at="1990-01-01", k=3)
    assert table.empty
    assert table.columns.tolist() == ["user_id", "item_id", "score", "rank"]
    assert model.recommend(NEW, [], k=3).empty


def test_an_item_added_to_a_trained_domain_stands_at_its_prior_mean(model, monkeypatch):
    grown = dataclasses.replace(
        B,
        item_ids=np.array(["fresh", *B.item_ids], object),
        item_texts=np.array(["fresh thing", *B.item_texts], object),
        item_index=B.item_index + 1,
        embeddings=np.concatenate([B.embeddings[3:4], B.embeddings]),
    )
    monkeypatch.setattr(model, "whitening", 0.0)  # which would move all items a little
    before, after = model.embed(B), model.embed(grown)
    assert np.allclose(after[1:], before, atol=1e-6)
    offset = PRIORS.V.scale * model.sources.nodes["V_decentered"][A.num_items + 3].numpy()
    assert np.abs(offset).max() > 1e-3
    assert np.allclose(after[0], before[3] - offset, atol=1e-5)
    assert set(model.recommend(grown, k=50, seen="keep")["item_id"]) == set(grown.item_ids)


def test_a_list_reads_the_last_64_items_and_no_more(model):
    rng = np.random.default_rng(0)
    items = NEW.item_ids[rng.integers(0, 3, 70)]  # the same few: what is met before is the same throughout

    def scores(history: np.ndarray) -> pd.Series:
        frame = pd.DataFrame({"user_id": "x", "item_id": history})
        return model.recommend(NEW, histories=frame, k=50, seen="keep").set_index("item_id")["score"].sort_index()

    swapped = items.copy()
    place = np.flatnonzero(items[6:-1] != items[7:])[0] + 6  # within the 64, and not the last
    swapped[[place, place + 1]] = swapped[[place + 1, place]]
    assert np.allclose(scores(items), scores(items[-64:]))
    assert np.allclose(scores(items), scores(np.concatenate([items[:6][::-1], items[6:]])))
    assert not np.allclose(scores(items), scores(swapped))


def test_a_saved_model_answers_bit_for_bit_the_same(model, tmp_path):
    model.save(tmp_path / "model")
    again = PreRec.load(tmp_path / "model", device="cpu")
    for domain in (A, NEW):
        pd.testing.assert_frame_equal(again.recommend(domain), model.recommend(domain), check_exact=True)
        assert np.array_equal(again.embed(domain), model.embed(domain))
    assert (again.config, again.training, again.priors) == (model.config, model.training, model.priors)
    assert (again.free, again.window, again.normalizer) == (model.free, model.window, model.normalizer)
    assert again.history == model.history
    assert again.facts == model.facts
    again.save(tmp_path / "again")
    for name in ("weights.safetensors", "config.json", "manifest.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


@pytest.mark.parametrize(
    ("graph", "free", "name"),
    [
        ("extended", (), "prerec"),
        ("extended", ("D", "V", "S"), "prerec"),
        ("paper", (), "prerec_paper"),
        ("paper", ("D",), "prerec_paper"),
        ("paper", ("D", "V"), "prerec_paper"),
        ("unconfounded", (), "prerec_n"),
        ("unconfounded", ("V",), "prerec_n"),
    ],
)
def test_models_of_all_graphs_are_saved_and_loaded(tmp_path, graph, free, name):
    one = shaken(prerec(graph, free=free, training=training(epochs=1)).fit([A, B]))
    assert one.name == name
    one.save(tmp_path / "model")
    again = PreRec.load(tmp_path / "model", device="cpu")
    assert (again.name, again.graph_class, again.config) == (name, one.graph_class, one.config)
    pd.testing.assert_frame_equal(again.recommend(A), one.recommend(A), check_exact=True)


@pytest.mark.parametrize(("graph", "whitening"), [("extended", 0.25), ("paper", 0.0), ("unconfounded", 0.0)])
def test_texts_are_whitened_as_the_graph_was_chosen_with(graph, whitening):
    assert PreRec(graph, device="cpu").whitening == whitening
    assert PreRec(graph, whitening=0.5, device="cpu").whitening == 0.5


def test_a_fit_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    whole = prerec(graph_config(dropout=0.2)).fit([A, B])
    folder, kept = tmp_path / "progress", checkpoint.save_progress

    class CutOffError(Exception):
        pass

    def save_then_cut(*args):
        kept(*args)
        raise CutOffError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_progress", save_then_cut)
        with pytest.raises(CutOffError):
            prerec(graph_config(dropout=0.2)).fit([A, B], progress_folder=folder)
    assert checkpoint.load_progress(folder, {})[1]["next_epoch"] == 2
    resumed = prerec(graph_config(dropout=0.2)).fit([A, B], progress_folder=folder, resume=True)
    assert resumed.history == whole.history
    pd.testing.assert_frame_equal(resumed.recommend(A), whole.recommend(A), check_exact=True)


def test_only_the_same_run_goes_on(tmp_path):
    folder = tmp_path / "progress"
    prerec(training=training(epochs=1)).fit([A, B], progress_folder=folder)
    others = {
        "training": (prerec(training=training(epochs=1, item_rate=0.5)), [A, B]),
        "priors": (prerec(training=training(epochs=1), priors=Priors()), [A, B]),
        "data": (prerec(training=training(epochs=1)), [A, small_domain("b", num_items=9, seed=4)]),
    }
    for changed, (other, domains) in others.items():
        with pytest.raises(InputError, match=rf"other settings or data \({changed}"):
            other.fit(domains, progress_folder=folder, resume=True)


def test_a_domain_without_times_works(model):
    timeless = small_domain("timeless", timestamps=False)
    assert not prerec(training=training(epochs=1)).fit([timeless]).recommend(timeless).empty
    assert not model.recommend(timeless).empty
    with pytest.raises(InputError, match="has no timestamps, only an order"):
        model.recommend(timeless, at="2020-01-01")


def test_its_display_says_what_it_is_in_at_most_ten_lines() -> None:
    plain = prerec("paper")
    assert "not trained" in repr(plain)
    assert "D Z → V, D → U, U V D Z → R" in repr(plain)
    model = prerec().fit([A, B])
    for shown in ("prerec", "trained on a, b", "extended", "free nodes D, V", "validation r-NDCG"):
        assert shown in repr(model)
    assert len(repr(model).splitlines()) <= 10

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch

from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import evaluate, validation_score
from prerec_pyro.inference.calibration.fit import calibrate
from prerec_pyro.inference.calibration.prediction import Prediction, predict_effect_scales
from prerec_pyro.inference.calibration.store_features import store_features
from prerec_pyro.inference.calibration.stores import PredictedScales
from prerec_pyro.models.networks import SequenceEncoder
from prerec_pyro.models.priors import Normal
from prerec_pyro.recommenders import prerec as recommender
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training import checkpoint, map_fit
from prerec_pyro.training.effect_scale_update import MIN_DECISION_QUERIES, EffectScaleUpdate
from prerec_pyro.training.recipes import TrainConfig
from prerec_pyro.training.trainer import Trainer
from tests.support.models import prerec, small_domain, training

TARGET = small_domain("target", num_users=60, seed=2)
FAST = {"learning_rate": 1e-2, "text_rate": 1e-2, "item_rate": 1e-2}


@pytest.fixture(scope="module")
def model() -> PreRec:
    return prerec(training=training(epochs=1)).fit([small_domain("a"), small_domain("b", seed=1)])


def test_a_new_model_and_the_old_one_stays(model):
    before = {name: value.clone() for name, value in model.graph.state_dict().items()}
    nodes = {name: value.clone() for name, value in model.sources.nodes.items()}
    new = model.fine_tune(TARGET, training=training(epochs=3, **FAST))
    assert new is not model
    assert all(torch.equal(value, before[name]) for name, value in model.graph.state_dict().items())
    assert all(torch.equal(value, nodes[name]) for name, value in model.sources.nodes.items())
    assert list(new.sources.item_ids) == ["target"]
    assert new.sources.nodes["D"].shape[0] == 1
    assert [d["name"] for d in new.facts["fine_tuned_from"]["domains"]] == ["a", "b"]
    assert new.history[-1]["loss"] < new.history[0]["loss"]
    assert not torch.equal(new.graph.f_e.linear.weight, model.graph.f_e.linear.weight), "all parameters move"


@pytest.fixture(scope="module")
def turned(model) -> PreRec:
    """The model, its f_e turned to the target's texts."""
    other = copy.deepcopy(model)
    other.graph.f_e.rotate_to(other.encode(TARGET).whitened(other.whitening).texts)
    assert not torch.equal(other.graph.f_e.linear.weight, model.graph.f_e.linear.weight)
    return other


def start_of(model) -> torch.Tensor:
    """S of the target as its catalogue and the log of its training users predict it, in units of its spread."""
    features = store_features(model.encode(TARGET), split_users(TARGET).train)
    assert not torch.allclose(features, store_features(model.encode(TARGET))), "it is not the log of all users"
    spread = model.graph.likelihood.spread
    sources = (model.sources.nodes[name] for name in ("S_sources", "S_features"))
    start = predict_effect_scales(*sources, features, spread).mean / spread
    assert start.abs().max() > 1e-3
    return start


def test_epoch_0_is_zero_shot_calibrated_where_that_helps(turned, model):
    """Nothing learnt: f_e turned, D and the offsets at their prior means, S as predicted or as the log says."""
    start, spread = start_of(model), model.graph.likelihood.spread
    new, model = model.fine_tune(TARGET, training=training(epochs=0)), turned
    encoded = new.encode(TARGET)
    prior = PredictedScales(np.empty(0, np.int64), [Prediction(start * spread, spread)])
    users = split_users(TARGET).validation
    S = calibrate(model.scorer(encoded), encoded, users, only_last=True, predicted=prior).values[-1]
    parts = split_users(TARGET).validation, split_users(TARGET).test
    ours = [evaluate(new, encoded, part, k_percent=20).ranking.compute() for part in parts]
    for_S, for_0 = (
        [evaluate(_Under(model, {"S": value}), encoded, part, k_percent=20).ranking.compute() for part in parts]
        for value in (S, start)
    )
    assert for_S[0]["r_ndcg"] != for_0[0]["r_ndcg"]
    better = max(for_S, for_0, key=lambda found: found[0]["r_ndcg"])
    assert ours[1] == pytest.approx(better[1], abs=1e-6)


def test_S_becomes_part_of_the_parameters(model, monkeypatch):
    monkeypatch.setattr(EffectScaleUpdate, "_modes", lambda self: torch.full((1, 6), 0.5))
    monkeypatch.setattr(EffectScaleUpdate, "_unless_worse", lambda self, change: change() or True)
    new = model.fine_tune(TARGET, training=training(epochs=0))
    change = (start_of(model) + 0.5) * model.graph.likelihood.spread
    S, moved = (one.sources.nodes["S_sources"] for one in (model, new))
    torch.testing.assert_close(moved, S - change)
    torch.testing.assert_close(new.graph.likelihood.w_o, model.graph.likelihood.w_o + change[3])
    torch.testing.assert_close(new.graph.likelihood.w_r, model.graph.likelihood.w_r + change[2])
    torch.testing.assert_close(new.graph.f_seq.log_length, model.graph.f_seq.log_length + change[0])
    for name, by in (("log_fading", change[4]), ("log_contrast", change[5])):
        torch.testing.assert_close(getattr(new.graph.interests, name), getattr(model.graph.interests, name) + by)


class _Under:
    name = "under"

    def __init__(self, model, do) -> None:
        self.model, self.do = model, do

    def scorer(self, encoded):
        return self.model.scorer(encoded, self.do)


def test_an_S_that_ranks_validation_users_worse_is_not_taken(turned, model, monkeypatch):
    """A few rows can put S anywhere: so strong a liking for the popular, or dislike, is undone."""
    parts = [(model.encode(TARGET), split_users(TARGET).validation)]
    places = [torch.zeros(6), *(far * one for one in torch.eye(6)[:4] for far in (-30.0, -2.0, 2.0, 30.0))]
    start = start_of(model)
    scores = [validation_score(_Under(turned, {"S": start + S}), parts, 50.0, MIN_DECISION_QUERIES) for S in places]
    assert min(scores) < scores[0] < max(scores)
    for S, score in zip(places, scores, strict=True):
        monkeypatch.setattr(EffectScaleUpdate, "_modes", lambda *a, S=S: S[None])
        new = model.fine_tune(TARGET, training=training(epochs=0, k_percent=50.0))
        assert validation_score(new, parts, 50.0, MIN_DECISION_QUERIES) == pytest.approx(
            max(score, scores[0]), abs=1e-6
        )


@pytest.mark.parametrize("an_epoch", [7, MIN_DECISION_QUERIES + 1])
def test_whether_S_is_taken_is_decided_by_more_queries_than_an_epoch_is_judged_by(model, monkeypatch, an_epoch):
    seen = []
    monkeypatch.setattr(recommender, "validation_score", lambda *a: seen.append(a[-1]) or 0.5)
    model.fine_tune(TARGET, num_samples=5, training=training(epochs=1, validation_queries=an_epoch))
    assert len(seen) > 2
    assert set(seen[:-2]) == {an_epoch}
    assert seen[-2:] == [max(an_epoch, MIN_DECISION_QUERIES)] * 2


def test_with_few_queries_the_steps_are_small():
    config = training(
        full_item_rate_queries=400,
        full_learning_rate_queries=100,
        full_popularity_rate_queries=100,
        learning_rate=2.0,
        text_rate=0.1,
        item_rate=0.4,
    )
    few = config.for_queries(4)
    assert (few.learning_rate, few.text_rate, few.item_rate) == pytest.approx((0.016, 0.01, 0.04))
    assert few.recipe.popularity_rate == pytest.approx(config.recipe.popularity_rate / 125)
    assert few.recipe.repeat_rate == config.recipe.repeat_rate
    assert config.for_queries(400) == config
    assert config.for_queries(100).learning_rate == 2.0
    assert training().for_queries(1) == training(), "unless asked, rates stand"


def test_pre_training_asks_it_of_sequences_alone():
    """What small sources say of offsets and texts carries over; what they say of sequences does not."""
    config = TrainConfig()
    few = config.for_queries(config.recipe.full_learning_rate_queries // 100)
    assert few.learning_rate == pytest.approx(config.learning_rate / 1000)
    assert (few.text_rate, few.item_rate) == (config.text_rate, config.item_rate)
    assert few.recipe == config.recipe


def test_popularity_moves_slowly_only_where_it_was_learnt_before(model, monkeypatch):
    """Who starts from nothing has it to learn."""
    seen, plain = [], map_fit.map_trainer

    def noted(*arguments):
        seen.append(arguments[3].recipe.full_popularity_rate_queries)
        return plain(*arguments)

    monkeypatch.setattr(map_fit, "map_trainer", noted)
    config = training(epochs=0, full_popularity_rate_queries=10)
    prerec(training=config).fit([TARGET])
    model.fine_tune(TARGET, training=config)
    assert seen == [None, 10]


def test_w_h_and_the_length_stand_aside_in_training_and_are_back_afterwards(model, monkeypatch):
    """Users are ranked at the length that was read, on which the domain's own log has the last word."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.graph.f_seq.log_length.fill_(0.5)
        model.graph.likelihood.w_h.fill_(-1.0)
    trained = []
    step, forward = Trainer.step, SequenceEncoder.forward
    monkeypatch.setattr(Trainer, "step", lambda self, *b: trained.append(w_h_of(self)) or step(self, *b))
    monkeypatch.setattr(EffectScaleUpdate, "after_fine_tuning", lambda self: torch.zeros(6))
    monkeypatch.setattr(EffectScaleUpdate, "score_after", lambda self: self.validation(self.run.parts, 0))
    before = model.graph.likelihood.w_h.item()
    assert before != 0.0
    still = training(epochs=2, hold_effect_scales_below=10_000, learning_rate=0.0)
    lengths = []
    monkeypatch.setattr(
        SequenceEncoder, "forward", lambda self, *a: lengths.append(self.log_length.item()) or forward(self, *a)
    )
    new = model.fine_tune(TARGET, training=still)
    start = 0.5 + float(start_of(model)[0] * model.graph.likelihood.spread[0])
    assert {round(length, 5) for length in lengths} == {round(start, 5), round(math.log(model.config.sharpness), 5)}
    assert new.graph.f_seq.log_length.item() == pytest.approx(start)
    assert set(trained) == {0.0}
    assert new.graph.likelihood.w_h.item() == before
    assert new.graph.likelihood.w_h.requires_grad
    trained.clear()
    new = model.fine_tune(TARGET, training=training(epochs=2, hold_effect_scales_below=10, repeat_rate=0.1))
    assert 0.0 not in trained
    assert new.graph.likelihood.w_h.item() != before


def test_w_h_is_trained_where_nothing_is_known_of_it_or_nothing_could_read_it(monkeypatch):
    few = training(epochs=1, hold_effect_scales_below=10_000, repeat_rate=0.1)
    monkeypatch.setattr(EffectScaleUpdate, "after_pre_training", lambda self: None)
    assert prerec(training=few).fit([TARGET]).graph.likelihood.w_h.item() != 0.0


@pytest.mark.parametrize("kind", ["paper", "unconfounded"])
def test_a_graph_without_S_holds_nothing_and_is_fine_tuned(kind):
    few = training(epochs=2, hold_effect_scales_below=10_000, **FAST)
    plain = prerec(kind, training=few).fit([small_domain("a"), small_domain("b", seed=1)])
    before = {name: value.clone() for name, value in plain.graph.state_dict().items()}
    tuned = plain.fine_tune(TARGET, training=few)
    assert type(tuned.graph) is type(plain.graph)
    assert tuned.history[-1]["loss"] < tuned.history[0]["loss"]
    assert tuned.graph.f_seq.log_length != plain.graph.f_seq.log_length, "the length of U is trained"
    assert all(torch.equal(value, before[name]) for name, value in plain.graph.state_dict().items())


def test_the_repeat_rate_is_estimated_from_the_log(model, monkeypatch):
    monkeypatch.setattr(EffectScaleUpdate, "_unless_worse", lambda self, change: change())
    new = model.fine_tune(TARGET, training=training(epochs=2, hold_effect_scales_below=10_000))
    assert new.graph.likelihood.w_r.item() != model.graph.likelihood.w_r.item()


@pytest.mark.parametrize("lifted", [False, True], ids=["parameters", "lifted weights"])
def test_an_epoch_is_scored_as_it_is_once_S_is_read_and_stays_as_it_is(model, lifted, monkeypatch):
    if lifted:
        priors = dataclasses.replace(model.priors, W_z=Normal(0.3))
        model = model.with_priors(priors).fit([small_domain("a"), small_domain("b", seed=1)])
    scored, as_they_were = [], []
    score = EffectScaleUpdate.score_after

    def checked(self):
        before = {name: value.clone() for name, value in (self.graph.state_dict() | self.sources.nodes).items()}
        scored.append(score(self))
        after = self.graph.state_dict() | self.sources.nodes
        as_they_were.append(all(torch.equal(value, after[name]) for name, value in before.items()))
        return scored[-1]

    monkeypatch.setattr(EffectScaleUpdate, "score_after", checked)
    new = model.fine_tune(TARGET, training=training(epochs=2, hold_effect_scales_below=10_000))
    assert len(scored) == 3
    assert all(as_they_were)
    assert new.facts["validation_r_ndcg"] == max(scored)
    parts = [(new.encode(TARGET), split_users(TARGET).validation)]
    assert validation_score(new, parts, new.training.k_percent, 100) == pytest.approx(max(scored), abs=1e-6)


def w_h_of(trainer: Trainer) -> float:
    (w_h,) = (value for name, value in trainer.objective.named_parameters() if name.endswith("w_h"))
    return w_h.item()


def test_what_is_kept_is_no_worse_on_validation_than_the_start(model):
    """Ten rows and rates that wreck the networks: early stopping gives back the start."""
    wild = training(epochs=3, learning_rate=3.0, text_rate=3.0, popularity_rate=3.0)
    new = model.fine_tune(TARGET, num_samples=10, training=wild)
    start = model.fine_tune(TARGET, num_samples=10, training=training(epochs=0))
    assert new.facts["validation_r_ndcg"] >= start.facts["validation_r_ndcg"]
    assert new.facts["num_samples"] == 10


def test_a_saved_model_can_be_tuned_and_the_tuned_one_saved(model, tmp_path):
    model.save(tmp_path / "m")
    one = model.fine_tune(TARGET, training=training(epochs=1))
    other = PreRec.load(tmp_path / "m", device="cpu").fine_tune(TARGET, training=training(epochs=1))
    other.save(tmp_path / "n")
    again = PreRec.load(tmp_path / "n", device="cpu")
    encoded = one.encode(TARGET)
    users = TARGET.user_ids[:5]
    assert one.recommend(encoded, users, k=3).equals(again.recommend(encoded, users, k=3))


def test_it_resumes_where_it_was(model, tmp_path):
    whole = model.fine_tune(TARGET, training=training(epochs=2, **FAST), progress_folder=tmp_path / "p")
    again = model.fine_tune(TARGET, training=training(epochs=2, **FAST), progress_folder=tmp_path / "p", resume=True)
    assert again.history == whole.history
    np.testing.assert_array_equal(again.graph.W_z.detach(), whole.graph.W_z.detach())


def test_it_resumes_where_w_h_stands_aside(model, tmp_path):
    few = training(epochs=3, hold_effect_scales_below=10_000, **FAST)
    whole = model.fine_tune(TARGET, training=few)
    save = checkpoint.save_progress

    def cut(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save_progress", cut)
        with pytest.raises(KeyboardInterrupt):
            model.fine_tune(TARGET, training=few, progress_folder=tmp_path / "p")
    again = model.fine_tune(TARGET, training=few, progress_folder=tmp_path / "p", resume=True)
    assert again.history == whole.history
    assert all(torch.equal(value, again.graph.state_dict()[name]) for name, value in whole.graph.state_dict().items())


def test_an_untrained_model_is_refused():
    with pytest.raises(InputError, match="not trained"):
        prerec().fine_tune(TARGET)

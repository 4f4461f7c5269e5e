"""`TextBaseline`: it learns, it is saved and tuned, and its texts, rows and samples are the right ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training.baseline_configs import BaselineTraining, adam
from prerec_pyro.training.loop_config import LoopRecipe
from tests.support.graphs import make_domain
from tests.support.models import small_domain

METHODS = tuple(LEARNED)
TINY = {
    "min_steps": 1,
    "batch_tokens": 64,
    "num_negatives": 8,
    "k_percent": 20.0,
    "learning_rate": 3e-3,
    "text_rate": 3e-3,
}
A, B = small_domain("a", seed=1, num_users=30), small_domain("b", num_items=9, seed=2)


def training(**changes: object) -> BaselineTraining:
    settings = TINY | {"epochs": 2} | changes
    recipe = LoopRecipe(min_steps=settings.pop("min_steps"))
    return BaselineTraining(**settings, recipe=recipe)


def baseline(method: str, config: dict | None = None, **changes: object) -> TextBaseline:
    settings = LEARNED[method].config(**({"latent_dim": 8, "num_layers": 1} | (config or {})))
    return TextBaseline(method, settings, training=training(**changes), device="cpu")


def state(model: TextBaseline) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def ring(num_items: int = 20, num_users: int = 60) -> Domain:
    """Item i is always followed by item i + 1; texts are unrelated."""
    rng = np.random.default_rng(0)
    items = (rng.integers(0, num_items, num_users)[:, None] + np.arange(6)) % num_items
    domain = make_domain("ring", lengths=[6] * num_users, num_items=num_items, text_dim=32, timed=False)
    texts = rng.standard_normal((num_items, 32))
    return Domain(
        **{name: getattr(domain, name) for name in ("name", "item_ids", "item_texts", "user_ids", "offsets")},
        item_index=items.reshape(-1),
        timestamps=None,
        embeddings=texts / np.linalg.norm(texts, axis=1, keepdims=True),
    )


def recall_at_one(model: TextBaseline, domain: Domain) -> float:
    result = evaluate(model, model.encode(domain), np.arange(domain.num_users), k_percent=100 / domain.num_items)
    return result.ranking.compute()["recall"]


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_what_follows_what(method: str) -> None:
    config = {"latent_dim": 32, "dropout": 0.0} | ({"sequence_weight": 0.0} if method == "unisrec" else {})
    model = baseline(method, config, learning_rate=1e-2, text_rate=1e-2, epochs=12, min_steps=12, patience=12)
    assert recall_at_one(model.fit([ring()]), ring()) > 0.95


@pytest.mark.parametrize("tuning", ["inductive", "transductive"])
def test_unisrec_learns_in_fine_tuning(tuning: str) -> None:
    """The encoder is tuned as well: one that was never trained cannot say what follows, and stays so if frozen."""
    config = {"latent_dim": 32, "dropout": 0.0, "expert_dropout": 0.0}
    before = baseline("unisrec", config, epochs=0).fit([A.with_embeddings(np.eye(12, 32))])
    more = training(learning_rate=1e-2, text_rate=1e-2, item_rate=1e-2, epochs=12, min_steps=12, patience=12)
    after = before.fine_tune(ring(), training=more, config={"tuning": tuning, "tune_encoder": True})
    assert recall_at_one(before, ring()) < 0.3
    assert recall_at_one(after, ring()) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_a_run_repeats_itself_and_can_be_cut_off(method: str, tmp_path: Path) -> None:
    class CutOffError(Exception):
        pass

    def cut(trainer: object, *_: object) -> None:
        raise CutOffError

    whole, again = baseline(method).fit([A, B]), baseline(method).fit([A, B])
    assert same(state(whole), state(again))
    other = baseline(method, seed=1).fit([A, B])
    assert not same(state(whole), state(other))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(CutOffError):
        from prerec_pyro.training import checkpoint

        keep = checkpoint.save_progress
        patch.setattr(checkpoint, "save_progress", lambda *args: (keep(*args), cut(None)))
        baseline(method).fit([A, B], progress_folder=tmp_path / "state")
    resumed = baseline(method).fit([A, B], progress_folder=tmp_path / "state", resume=True)
    assert same(state(resumed), state(whole))
    assert resumed.history == whole.history


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_model_gives_the_same_lists_bit_for_bit(method: str, tmp_path: Path) -> None:
    model = baseline(method).fit([A, B])
    model.save(tmp_path / "model")
    loaded = TextBaseline.load(tmp_path / "model", device="cpu")
    for domain in (A, B, small_domain("new", seed=5)):
        pd.testing.assert_frame_equal(loaded.recommend(domain), model.recommend(domain), check_exact=True)
    assert (loaded.name, loaded.history, loaded.config, loaded.training) == (
        model.name,
        model.history,
        model.config,
        model.training,
    )
    assert loaded.facts["domains"] == model.facts["domains"]


CASES = [(method, {}) for method in METHODS] + [("unisrec", {"tuning": "transductive"})]


@pytest.mark.parametrize(("method", "changes"), CASES)
def test_fine_tuning_gives_a_new_model_and_leaves_the_old_one(method: str, changes: dict, tmp_path: Path) -> None:
    old = baseline(method).fit([A])
    before, lists = state(old), old.recommend(B)
    new = old.fine_tune(B, training=training(epochs=8, item_rate=1e-1), config=changes)
    assert same(state(old), before)
    pd.testing.assert_frame_equal(old.recommend(B), lists)
    assert new is not old
    assert new.facts["fine_tuned_from"]["domains"][0]["name"] == "a"
    assert [one["name"] for one in new.facts["domains"]] == ["b"]
    new.save(tmp_path / "new")
    loaded = TextBaseline.load(tmp_path / "new", device="cpu")
    pd.testing.assert_frame_equal(loaded.recommend(B), new.recommend(B), check_exact=True)


@pytest.mark.parametrize(("method", "changes"), CASES)
def test_fine_tuning_that_does_not_help_is_the_model_as_it_was(method: str, changes: dict) -> None:
    old = baseline(method).fit([A])
    for new in (old.fine_tune(B, training=training(epochs=0), config=changes),):
        assert new.facts["best_epoch"] == 0
        pd.testing.assert_frame_equal(new.recommend(B), old.recommend(B))


def test_fine_tuning_keeps_the_seed_unless_told_otherwise() -> None:
    old = baseline("sasrec", epochs=0, seed=7).fit([A])
    assert old.fine_tune(B, training=training(epochs=0)).training.seed == 0
    few = small_domain("few", num_users=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prerec_pyro.recommenders.text_baseline.defaults", lambda *_, **__: training(epochs=0))
        assert old.fine_tune(few).training.seed == 7


def test_vectors_of_known_items_are_taken_over() -> None:
    old = baseline("zesrec").fit([A, B])
    with torch.no_grad():
        old.module.table.weight.normal_()
    new = old.fine_tune(B, training=training(epochs=0))
    assert torch.equal(new.module.table.weight, old.module.table.weight[A.num_items :])
    pd.testing.assert_frame_equal(new.recommend(B), old.recommend(B))
    renamed = small_domain("c", num_items=9, seed=2)
    assert not old.fine_tune(renamed, training=training(epochs=0)).module.table.weight.any()


def test_items_that_were_added_since_are_their_texts() -> None:
    model = baseline("zesrec").fit([A])
    with torch.no_grad():
        model.module.table.weight.normal_()
    longer = small_domain("a", seed=1, num_users=30, num_items=12)
    ids = longer.item_ids.copy()
    ids[3] = "new"
    changed = Domain(
        name="a",
        item_ids=ids,
        item_texts=longer.item_texts,
        user_ids=longer.user_ids,
        offsets=longer.offsets,
        item_index=longer.item_index,
        timestamps=longer.timestamps,
        embeddings=longer.embeddings,
    )
    V, text = model.embed(changed), model.module.f_e(torch.from_numpy(changed.embeddings).float()).detach().numpy()
    assert np.allclose(V[3], text[3], atol=1e-6)
    assert (np.abs(V - text).max(1) > 1e-3).sum() == 11


@pytest.mark.parametrize("number", [1, 7])
def test_samples_are_those_of_the_training_users(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from prerec_pyro.training.trainer import Trainer

    asked = []
    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self, *b: (asked.append(b[0].num_domain_queries), step(self, *b))[1])
    model = baseline("sasrec", epochs=1).fit([A], num_samples=number)
    assert set(asked) == {number}
    assert model.facts["num_samples"] == number


def test_optimisers_leave_frozen_parts_alone_and_scale_the_rate_of_offsets() -> None:
    model = baseline("zesrec").fit([A])
    dense, sparse = adam(model.module, training(item_rate=0.5, learning_rate=0.2, text_rate=0.3), item_scale=0.1)
    assert [group["lr"] for group in dense.param_groups] == [0.2, 0.3]
    assert {id(p) for p in dense.param_groups[1]["params"]} == {id(p) for p in model.module.f_e.parameters()}
    assert sparse.param_groups[0]["lr"] == sparse.param_groups[0]["initial_lr"] == 5.0
    assert [p.shape for p in sparse.param_groups[0]["params"]] == [model.module.table.weight.shape]
    assert all(p is not model.module.table.weight for group in dense.param_groups for p in group["params"])
    tuned = baseline("unisrec", {"tune_encoder": False}).fit([A]).fine_tune(B, training=training(epochs=1))
    (only,) = adam(tuned.module, training())
    moved = [p for group in only.param_groups for p in group["params"]]
    assert all(p.requires_grad for p in moved)
    assert len(moved) < len(list(tuned.module.parameters()))


def test_the_score_is_a_distribution_over_the_domain() -> None:
    model = baseline("sasrec").fit([A])
    pairs = pd.DataFrame({"user_id": A.user_ids[0], "item_id": A.item_ids})
    assert np.exp(model.score(A, pairs)).sum() == pytest.approx(1.0, abs=1e-4)
    assert model.embed(A).shape == (A.num_items, 8)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="'bert4rec' is none of gru4rec, sasrec, zesrec, unisrec"):
        TextBaseline("bert4rec")
    with pytest.raises(InputError, match="sasrec takes a SASRecConfig, not GRU4RecConfig"):
        TextBaseline("sasrec", LEARNED["gru4rec"].config())
    with pytest.raises(InputError, match="latent_dim 9 is no multiple of num_heads 2"):
        baseline("sasrec", {"latent_dim": 9})
    with pytest.raises(InputError, match="not trained"):
        baseline("sasrec").recommend(A)
    model = baseline("unisrec", epochs=0).fit([A])
    with pytest.raises(InputError, match=r"do\(D\): unisrec is no causal graph"):
        model.recommend(A, do={"D": 0})
    with pytest.raises(InputError, match="latent_dim: cannot change in fine-tuning unisrec; only dropout"):
        model.fine_tune(B, config={"latent_dim": 4})
    with pytest.raises(InputError, match="text embeddings have 5 numbers, this model was trained on 6"):
        model.recommend(make_domain("short", text_dim=5))
    with pytest.raises(InputError, match="0 training samples"):
        model.fine_tune(B, num_samples=0)

"""Whose queries a run trains on."""

from __future__ import annotations

import numpy as np
import pytest

from prerec_pyro.data.splits import split_users
from prerec_pyro.data.subsets import first_samples
from prerec_pyro.evaluation.protocol import num_queries
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.recommenders import prerec as recommender
from prerec_pyro.recommenders import text_baseline
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training import run as training_run
from prerec_pyro.training.baseline_configs import BaselineTraining
from prerec_pyro.training.loop_config import LoopRecipe
from prerec_pyro.training.run import TrainingRun, shared_budget
from tests.support.models import prerec, small_domain, training

TARGET = small_domain("target", num_users=60, seed=2)


def test_the_seed_of_training_says_which_samples_are_taken() -> None:
    encoded = prerec().encode(TARGET)
    taken = []
    for seed in (0, 1):
        run = TrainingRun([encoded], 0, 12, None, False, seed)
        (source,) = run.sources(np.zeros(1, np.int64))
        users, lengths = first_samples(TARGET, split_users(TARGET).train, 12, seed)
        np.testing.assert_array_equal(source.users, users)
        np.testing.assert_array_equal(source.lengths, lengths)
        ((_, validation),) = run.parts
        np.testing.assert_array_equal(validation, split_users(TARGET).validation)
        taken.append(users.tolist())
    assert taken[0] != taken[1]


def test_an_epoch_is_judged_by_a_tenth_of_what_the_smallest_domain_trains_on() -> None:
    encoded = [prerec().encode(small_domain(name, num_users=size)) for name, size in (("small", 30), ("large", 90))]
    least = num_queries(encoded[0].domain, split_users(encoded[0].domain).train) // 10
    assert least > 2
    for samples, expected in ((None, least), (10 * least - 1, least - 1), (12, 1)):
        assert TrainingRun(encoded, 0, samples, None, False, 0).num_validation_queries(1) == expected
    assert TrainingRun(encoded, 0, None, None, False, 0).num_validation_queries(least + 1) == least + 1, (
        "or by more where asked"
    )


def test_a_large_catalogue_judges_by_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = [prerec().encode(small_domain(name, num_users=90, num_items=n)) for name, n in (("few", 6), ("many", 12))]
    run = TrainingRun(encoded, 0, None, None, False, 0)
    assert run.num_validation_queries(1) > 3
    monkeypatch.setattr(training_run, "MAX_VALIDATION_SCORES", 12 * 3)
    assert run.num_validation_queries(1) == 3
    assert run.num_validation_queries(5) == 5, "what is asked for it is"


def test_many_domains_share_the_queries_of_three() -> None:
    assert [shared_budget(1500, number) for number in (1, 3, 4, 12, 16)] == [1500, 1500, 1125, 375, 300]
    assert shared_budget(200, 12) == 200, "what is little already is not cut"
    encoded = [prerec().encode(small_domain(f"d{number}", num_users=30)) for number in range(6)]
    asked = [TrainingRun(encoded[:number], 0, None, None, False, 0).num_validation_queries(1000) for number in (3, 6)]
    assert asked == [1000, 500]


@pytest.mark.parametrize("method", ["prerec", "gru4rec"])
def test_that_many_judge_an_epoch_of_every_method(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(TrainingRun, "num_validation_queries", lambda _, at_least: 17 + at_least)
    if method == "prerec":
        monkeypatch.setattr(recommender, "validation_score", lambda *asked: seen.append(asked[-1]) or 0.5)
        prerec(training=training(epochs=1, validation_queries=3)).fit([TARGET])
    else:
        monkeypatch.setattr(text_baseline, "validation_score", lambda *asked: seen.append(asked[-1]) or 0.5)
        loop = LoopRecipe(validation_queries=3)
        config = BaselineTraining(epochs=1, num_negatives=8, k_percent=20.0, recipe=loop)
        shape = LEARNED[method].config(latent_dim=4, num_layers=1)
        TextBaseline(method, shape, training=config, device="cpu").fit([TARGET])
    assert set(seen) == {20}


@pytest.mark.parametrize("arm", ["from scratch", "fine-tuned"])
def test_a_model_trains_by_its_own_seed(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(training_run, "first_samples", lambda *a: asked.append(a[3]) or first_samples(*a))
    model = prerec(training=training(epochs=0, seed=3)).fit([TARGET], num_samples=12)
    if arm == "fine-tuned":
        asked.clear()
        model.fine_tune(small_domain("other"), num_samples=12, training=training(epochs=0, seed=5))
    assert set(asked) == {3 if arm == "from scratch" else 5}

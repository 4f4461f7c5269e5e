"""Whose queries a run trains on."""

from __future__ import annotations

import numpy as np
import pytest
from small_worlds import prerec, small_domain, training

from prerec_pyro import training_run
from prerec_pyro.data.samples import first_samples
from prerec_pyro.data.splits import split_users
from prerec_pyro.training_run import TrainingRun

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


@pytest.mark.parametrize("arm", ["from scratch", "fine-tuned"])
def test_a_model_trains_by_its_own_seed(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(training_run, "first_samples", lambda *a: asked.append(a[3]) or first_samples(*a))
    model = prerec(training=training(epochs=0, seed=3)).fit([TARGET], num_samples=12)
    if arm == "fine-tuned":
        asked.clear()
        model.fine_tune(small_domain("other"), num_samples=12, training=training(epochs=0, seed=5))
    assert set(asked) == {3 if arm == "from scratch" else 5}

"""S of trained domains: from whose log it is read, and when what was read is not taken."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.splits import split_users
from prerec_pyro.data.subsets import first_samples
from prerec_pyro.evaluation.protocol import num_queries
from prerec_pyro.inference.calibration.fit import calibrate
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training import effect_scale_update
from prerec_pyro.training import run as training_run
from prerec_pyro.training.effect_scale_update import EffectScaleUpdate
from prerec_pyro.training.run import TrainingRun
from tests.support.models import prerec, small_domain, training

SOURCES = [small_domain("a"), small_domain("b", seed=1)]
TARGET = small_domain("target", num_users=60, seed=2)
FAST = {"learning_rate": 1e-2, "text_rate": 1e-2, "item_rate": 1e-2}
CausalOptions = list[tuple[str, np.ndarray, np.ndarray | None]]


@pytest.fixture(scope="module")
def model() -> PreRec:
    return prerec(training=training(epochs=1)).fit(SOURCES)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[CausalOptions]:
    """The logs that S was read from."""
    logs: CausalOptions = []
    plain = effect_scale_update.calibrate

    def calibrate(scorer, encoded, users, *, lengths, seed, only_last):
        logs.append((encoded.domain.name, users, lengths))
        return plain(scorer, encoded, users, lengths=lengths, seed=seed, only_last=only_last)

    monkeypatch.setattr(effect_scale_update, "calibrate", calibrate)
    return logs


def test_in_the_end_S_is_read_from_the_validation_users(model: PreRec, asked: CausalOptions) -> None:
    prerec(training=training(epochs=1)).fit(SOURCES)
    assert [name for name, *_ in asked] == ["a", "b"] * 2, "as they are, and as new stores"
    for domain, (_, users, lengths) in zip(SOURCES * 2, asked, strict=True):
        np.testing.assert_array_equal(users, split_users(domain).validation)
        assert lengths is None
    asked.clear()
    new = model.fine_tune(TARGET, training=training(epochs=3, **FAST))
    assert new.facts["best_epoch"] > 0
    ((_, users, lengths),) = asked
    np.testing.assert_array_equal(users, split_users(TARGET).validation)
    assert lengths is None


def test_of_many_sources_a_part_of_the_validation_users_is_read(
    asked: CausalOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [small_domain(name, num_users=300, seed=number) for number, name in enumerate("abcd")]
    monkeypatch.setattr(effect_scale_update, "QUERIES_OF_S", 100)
    monkeypatch.setattr(training_run, "LEAST_BUDGET", 10)
    prerec(training=training(epochs=0)).fit(many)
    assert [name for name, *_ in asked] == list("abcd") * 2
    for domain, (_, users, lengths) in zip(many * 2, asked, strict=True):
        assert set(users) < set(split_users(domain).validation)
        assert 75 <= num_queries(domain, users) < 83
        assert lengths is None


def test_S_of_a_source_as_a_new_store_is_that_of_a_store_that_it_does_not_know(model: PreRec) -> None:
    """The model has D, S and item offsets of a source; a copy of it under another name has none."""
    S = model.sources.nodes["S_sources"]
    for domain, found in zip(SOURCES, S, strict=True):
        copy = Domain.from_tables(domain.interactions_frame(), domain.items_frame(), name="copy")
        encoded = model.encode(copy.with_embeddings(domain.embeddings))
        users = split_users(domain).validation  # the split depends on the users alone
        plain = calibrate(model.scorer(encoded), encoded.whitened(model.whitening), users, only_last=True)
        torch.testing.assert_close(found, model.graph.likelihood.in_nats(plain.values[-1]), atol=0.02, rtol=0.02)


def test_S_as_new_stores_reads_the_networks_alone() -> None:
    """With other item offsets, D and S of the sources it is the same, and S of the sources as they are is not."""
    model = prerec(training=training(epochs=1)).fit(SOURCES)
    encoded = [model.encode(domain).whitened(model.whitening) for domain in SOURCES]
    run = TrainingRun(encoded, 0, None, None, False, 0)
    update = EffectScaleUpdate(model.graph, model.sources, run, model.scorer, lambda *_: 0.5, 0)
    before = update._modes(), update.as_new_stores()
    torch.manual_seed(0)
    for name in ("V_decentered", "D", "S"):
        model.sources.nodes[name] = torch.randn_like(model.sources.nodes[name])
    after = update._modes(), update.as_new_stores()
    assert (before[0] - after[0]).abs().max() > 0.05
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize("arm", ["from scratch", "fine-tuned"])
def test_a_run_on_a_few_samples_reads_S_from_those_alone(arm: str, model: PreRec, asked: CausalOptions) -> None:
    more = training(epochs=3, **FAST)
    if arm == "from scratch":
        prerec(training=more).fit([TARGET], num_samples=12)
    else:
        model.fine_tune(TARGET, num_samples=12, training=more)
    samples = first_samples(TARGET, split_users(TARGET).train, 12, 0)
    assert len(asked) == 5, "at the start, after each epoch and in the end"
    for _, users, lengths in asked:
        np.testing.assert_array_equal(users, samples[0])
        np.testing.assert_array_equal(lengths, samples[1])


@pytest.mark.parametrize(("after", "taken"), [(0.4, False), (0.5, True), (0.6, True)])
def test_a_few_samples_are_believed_unless_validation_users_are_then_ranked_worse(after: float, taken: bool) -> None:
    model = prerec(training=training(epochs=1)).fit([TARGET], num_samples=12)
    run = TrainingRun([model.encode(TARGET)], 0, 12, None, False, 0)
    scores = iter([0.5, after])
    before = {name: value.clone() for name, value in model.graph.state_dict().items()}
    S = model.sources.nodes["S"] = torch.full((1, 6), 0.25)
    EffectScaleUpdate(model.graph, model.sources, run, model.scorer, lambda *_: next(scores), 0).after_pre_training()
    assert list(scores) == []
    assert torch.equal(model.graph.likelihood.w_o, before["likelihood.w_o"]) != taken
    assert torch.equal(model.sources.nodes["S"], S) != taken
    if not taken:
        assert all(torch.equal(value, before[name]) for name, value in model.graph.state_dict().items())


@pytest.mark.parametrize(
    ("missing", "num_samples", "taken"),
    [(0, None, True), (1, None, False), (0, 12, False)],
    ids=["enough", "one too few", "a sample, which the networks know by heart"],
)
def test_validation_users_with_enough_queries_are_believed_unasked(
    missing: int, num_samples: int | None, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S is read from their own log then, which no network fitted."""
    decides = num_queries(TARGET, split_users(TARGET).validation) + missing
    monkeypatch.setattr(effect_scale_update, "MIN_DECISION_QUERIES", decides)
    model = prerec(training=training(epochs=1)).fit([TARGET])
    run, w_o = TrainingRun([model.encode(TARGET)], 0, num_samples, None, False, 0), model.graph.likelihood.w_o.clone()
    worse = [0.4, 0.5]
    update = EffectScaleUpdate(model.graph, model.sources, run, model.scorer, lambda *_: worse.pop(), 0)
    update.after_fine_tuning()
    assert torch.equal(model.graph.likelihood.w_o, w_o) != taken
    assert len(worse) == (2 if taken else 0)


@pytest.mark.parametrize("scores", [(0.5, 0.4), (0.4, 0.5)], ids=["better without S", "better with S"])
def test_an_epoch_counts_for_the_better_of_with_and_without_S(scores: tuple[float, float], model: PreRec) -> None:
    run = TrainingRun([model.encode(TARGET)], 0, 12, None, False, 0)
    w_o = model.graph.likelihood.w_o.clone()
    still_to_come, seen = iter(scores), []

    def validation(*_: object) -> float:
        seen.append(model.graph.likelihood.w_o.clone())
        return next(still_to_come)

    update = EffectScaleUpdate(model.graph, model.sources, run, model.scorer, validation, 0)
    assert update.score_after() == 0.5
    without, with_S = seen
    assert torch.equal(without, w_o)
    assert not torch.equal(with_S, w_o)
    assert torch.equal(model.graph.likelihood.w_o, w_o), "and it stays as it was"

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration import fit as calibration
from prerec_pyro.inference.calibration.evidence import gather
from prerec_pyro.inference.calibration.fit import calibrate, posterior_mode, sample_users
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.models.priors import Priors
from tests.support.models import PRIORS, EveryPath, prerec, small_domain, small_encoded, small_graph

EVERYBODY = np.arange(40)
ENCODED = small_encoded(num_items=15, num_users=40)


def plain(graph, encoded=ENCODED) -> InterventionalScorer:
    return InterventionalScorer(graph.eval(), encoded, Intervention({}))


@pytest.mark.parametrize("kind", ["extended", EveryPath], ids=["extended", "every path"])
def test_the_mode_is_that_of_the_full_posterior(kind):
    """All items of a small catalogue are rivals: the scores of the scorer itself, found by Nelder-Mead."""
    graph = small_graph(graph=kind, num_interests=1)
    scorer, batches = plain(graph), list(query_batches(ENCODED, EVERYBODY))

    def loss(S: np.ndarray) -> float:
        value = torch.tensor(S, dtype=torch.float32)
        under = InterventionalScorer(graph, ENCODED, Intervention.check({"S": value}, graph))
        fit = sum(float(under(b).log_softmax(1).gather(1, b.targets[:, None]).sum()) for b, _ in batches)
        return -fit + 0.5 * float(S @ S)

    found = posterior_mode(graph, gather(scorer, ENCODED, EVERYBODY), start=torch.zeros(4, dtype=torch.float64))
    best = minimize(loss, found.numpy(), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-4})
    assert loss(found.numpy()) < loss(np.zeros(4)) - 0.5, "there is something to estimate"
    assert loss(found.numpy()) < best.fun + 0.05
    np.testing.assert_allclose(found.numpy(), best.x, atol=0.12)


def test_the_model_is_left_without_a_gradient():
    """Fine-tuning calibrates after each epoch: a gradient left behind would be part of its next step."""
    graph = small_graph(graph="extended")
    calibrate(plain(graph), ENCODED, EVERYBODY)
    assert all(parameter.grad is None for parameter in graph.parameters())


def test_no_query_is_read_before_its_time():
    """Whatever happens on a day or after it, S of that day stays."""
    graph, domain = small_graph(), small_domain(num_items=15, num_users=40)
    encoded = encode_domain(domain)
    whole = calibrate(plain(graph, encoded), encoded, EVERYBODY)
    cut = int(np.median(encoded.slots))
    early = np.flatnonzero(np.maximum.reduceat(encoded.slots, domain.offsets[:-1]) < cut)
    assert 3 < len(early) < 37
    part = calibrate(plain(graph, encoded), encoded, early)
    assert whole.num_queries.diff().min() >= 0
    assert torch.equal(whole.at(torch.tensor([0])), torch.zeros(1, 6)), "before the log S is at its prior mean"
    evidence = gather(plain(graph, encoded), encoded, EVERYBODY)
    for start, number in zip(whole.since.tolist(), whole.num_queries[1:].tolist(), strict=True):
        assert number == int((evidence.times < start).sum())
    assert int(part.num_queries[-1]) < int(whole.num_queries[-1])


def test_a_domain_without_times_has_one_value():
    encoded = small_encoded(num_items=15, num_users=40, timestamps=False)
    found = calibrate(plain(small_graph(), encoded), encoded, EVERYBODY)
    assert found.values.shape == (2, 6)
    assert torch.equal(found.at(torch.ones(3, dtype=torch.int64)), (found.values[1:] * found.spread).expand(3, 6))


def test_the_last_value_alone_is_that_of_many_steps():
    scorer = plain(small_graph())
    found, by_time = (calibrate(scorer, ENCODED, EVERYBODY, only_last=only) for only in (True, False))
    assert len(found.values) == 2 < len(by_time.values)
    assert found.num_queries.tolist() == [0, int(by_time.num_queries[-1])]
    assert found.since.tolist() == by_time.since[-1:].tolist()
    assert torch.allclose(found.values[-1], by_time.values[-1], atol=0.05), "as far as the optimiser goes"


def test_lengths_bound_what_is_read():
    encoded = small_encoded(num_items=15, num_users=40, timestamps=False)
    two = calibrate(plain(small_graph(), encoded), encoded, EVERYBODY, lengths=np.full(40, 2))
    assert int(two.num_queries[-1]) == int((np.diff(encoded.domain.offsets) > 1).sum())


def test_nothing_to_read_is_the_prior_mean():
    found = calibrate(plain(small_graph()), ENCODED, np.empty(0, np.int64))
    assert torch.equal(found.at(torch.tensor([5])), torch.zeros(1, 6))


def test_early_users_are_all_kept_and_late_ones_thinned(monkeypatch):
    assert np.array_equal(sample_users(ENCODED, EVERYBODY, 0), EVERYBODY[np.diff(ENCODED.domain.offsets) > 1]), (
        "few enough to keep them all"
    )
    monkeypatch.setattr(calibration, "FULL_SAMPLE", 30)
    kept = sample_users(ENCODED, EVERYBODY, 0)
    first = ENCODED.slots[ENCODED.domain.offsets[:-1]]
    assert len(kept) < 40
    assert first[kept].mean() < first.mean()


def test_the_calibrated_scorer_uses_the_S_of_each_querys_slot():
    graph = small_graph()
    found = calibrate(plain(graph), ENCODED, EVERYBODY)
    assert len(found.values) > 2
    calibrated = InterventionalScorer(graph, ENCODED, Intervention({}), calibration=found)
    batch, _ = next(query_batches(ENCODED, EVERYBODY))
    scores = calibrated(batch)
    for query in range(0, batch.num_queries, 5):
        S = found.at(batch.times[batch.slot[query : query + 1]])[0] / found.spread  # in units of the spread
        by_hand = InterventionalScorer(graph, ENCODED, Intervention.check({"S": S}, graph))(batch)[query]
        torch.testing.assert_close(scores[query], by_hand, rtol=1e-4, atol=1e-5)
    fixed = InterventionalScorer(graph, ENCODED, Intervention.check({"S": 0}, graph), calibration=found)
    assert torch.equal(fixed(batch), plain(graph)(batch)), "what the user sets goes before what was estimated"


@pytest.mark.parametrize("kind", ["paper", "unconfounded"])
def test_a_graph_without_effect_scales_has_nothing_to_calibrate(kind):
    with pytest.raises(InputError, match=r"calibrate: the graph \w+ has no effect scales S to estimate"):
        calibrate(plain(small_graph(graph=kind, priors=Priors(V=PRIORS.V, U=PRIORS.U))), ENCODED, EVERYBODY)
    model = prerec(kind).fit([small_domain()])
    assert model.calibrate(model.encode(small_domain("new", seed=2)), EVERYBODY[:20]) is None

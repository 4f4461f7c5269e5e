"""Posteriors of trained models: the users whose log they are given, and the users that they are checked on."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from prerec_pyro.data.splits import split_users
from prerec_pyro.inference.calibration.stores import predicted_scales, prior_of_store
from prerec_pyro.inference.posterior.fit import infer_posterior
from prerec_pyro.inference.posterior.predictive_checks import held_out_checks
from prerec_pyro.inference.posterior.subsample import sample_log
from prerec_pyro.inference.trained_domains import TrainedDomains
from tests.support.models import PRIORS, prerec, shaken, small_domain


def test_a_trained_domain_keeps_its_item_offsets_and_a_new_one_has_none() -> None:
    model = shaken(prerec(free=("V",)).fit([small_domain("a"), small_domain("b", seed=1)]))
    trained = model.posterior(small_domain("b", seed=1), "delta", users="train")
    assert trained.domain == "b"
    encoded = model.encoded(small_domain("b", seed=1)).whitened(model.whitening)
    users = np.setdiff1d(encoded.domain.user_of_event[trained.events], [])
    assert set(users) <= set(split_users(encoded.domain, 0).train), "only the log of training users is used"
    new = infer_posterior(model.graph, TrainedDomains(), encoded, users, "delta")
    assert torch.equal(trained.events, new.events)
    assert (trained.log_likelihood - new.log_likelihood).abs().max() > 0.1
    model.sources.nodes["V_decentered"] *= 0
    without = model.posterior(encoded, "delta", users="train")
    torch.testing.assert_close(without.log_likelihood, new.log_likelihood, rtol=1e-3, atol=1e-3)


def test_a_trained_domain_is_given_users_that_it_was_not_trained_on() -> None:
    model = prerec().fit([small_domain("a")])
    for name, users in (("a", "validation"), ("new", "train")):
        encoded = model.encoded(small_domain(name))
        found = model.posterior(encoded, "delta")
        assert found.facts["users"] == users
        given = set(encoded.domain.user_of_event[found.events])
        assert given <= set(split_users(encoded.domain, 0).users(users))
        checks = model.check_posterior(encoded, found)
        assert len(checks) > 5


def test_only_the_named_latents_are_random() -> None:
    model = prerec(priors=PRIORS).fit([small_domain("a")])
    found = model.posterior(small_domain("a"), "laplace", latents=("S",), draws=5)
    assert set(found.draws) == {"S"}


def test_the_prior_of_S_of_a_new_store_is_its_prediction() -> None:
    model, domain = shaken(prerec().fit([small_domain("a"), small_domain("b", seed=1)])), small_domain("new", seed=2)
    encoded = model.encoded(domain)
    spread = model.graph.likelihood.spread
    predicted = predicted_scales(model.graph, model.sources, encoded).steps[-1]
    mean, std = predicted.mean / spread, predicted.std / spread
    assert mean.abs().max() > 0.2
    found = model.posterior(domain, "laplace", latents=("S",), draws=200)
    assert ((found.prior["S"][0].mean(0) - mean).abs() < 4 * std / 200**0.5).all()
    torch.testing.assert_close(found.prior["S"][0].std(0), std, rtol=0.25, atol=0)
    assert prior_of_store(model.graph, model.sources, model.encoded(small_domain("a"))) is None, "it has its own S"


def test_S_of_a_new_store_stands_at_its_prediction_where_it_is_no_latent() -> None:
    model, domain = shaken(prerec().fit([small_domain("a"), small_domain("b", seed=1)])), small_domain("new", seed=2)
    encoded = model.encoded(domain).whitened(model.whitening)
    S = prior_of_store(model.graph, model.sources, model.encoded(domain)).mean
    found = model.posterior(domain, "delta", latents=("D",))
    sample = sample_log(encoded, split_users(domain, 0).train, max_log=None, queries=None)
    scorer = model.scorer(model.encoded(domain), {"D": found.draws["D"][0, 0], "S": S})
    fits = [scorer(b).log_softmax(1).gather(1, b.targets[:, None])[:, 0] for b in sample.batches(sample.given)]
    torch.testing.assert_close(torch.cat(fits), found.log_likelihood[0, 0], rtol=1e-4, atol=1e-4)
    with_S = dataclasses.replace(found, draws=found.draws | {"S": S[None, None]})
    users = split_users(domain, 0).validation
    expected = held_out_checks(model.graph, model.sources, encoded, with_S, users)
    np.testing.assert_allclose(model.check_posterior(domain, found).level, expected.level, rtol=1e-6)


def test_with_one_source_the_prior_of_S_is_that_between_domains() -> None:
    model = shaken(prerec().fit([small_domain("a")]))
    encoded = model.encoded(small_domain("new", seed=2))
    assert prior_of_store(model.graph, model.sources, encoded) is None
    S = model.posterior(encoded, "laplace", latents=("S",), draws=200).prior["S"][0]
    torch.testing.assert_close(S.mean(0), torch.zeros(6), rtol=0, atol=0.28)
    torch.testing.assert_close(S.std(0), torch.ones(6), rtol=0, atol=0.25)

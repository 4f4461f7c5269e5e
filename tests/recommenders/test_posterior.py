"""Posteriors of trained models: the users whose log they are given, and the users that they are checked on."""

from __future__ import annotations

import numpy as np
import torch

from prerec_pyro.data.splits import split_users
from prerec_pyro.inference.posterior.fit import infer_posterior
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

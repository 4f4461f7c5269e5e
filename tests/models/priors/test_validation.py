"""Values that are no prior of a node: each refusal says what to give instead."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors import (
    GaussianMixture,
    HalfCauchy,
    HalfNormal,
    Horseshoe,
    Laplace,
    LogNormal,
    Normal,
    Prior,
    Priors,
    StudentT,
)
from prerec_pyro.models.priors.validation import _EXAMPLES


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            dist.Normal(0, 1),
            r"Normal\(loc: 0.0, scale: 1.0\) .* a fixed location.*; give Normal\(scale=1.0\)",
        ),
        (
            torch.distributions.Laplace(0.0, 0.5),
            r"a distribution with a fixed location.*; give Laplace\(scale=0.5\)",
        ),
        (dist.Normal(torch.zeros(8), 0.3).to_event(1), r"fixed location.*; give Normal\(scale=0.3\) or a callable loc"),
        (dist.StudentT(3.0, 0.0, 0.5), r"fixed location.*; give StudentT\(df=3, scale=0.5\)"),
        (dist.Gamma(1.0, 1.0), r"fixed location.*; give Normal\(scale=1.0\)"),
        (0.5, r"0.5 is a number; give a family with a scale such as Normal\(scale=0.5\)"),
        (-1, r"-1 is a number; .*Normal\(scale=1.0\)"),
        (math.nan, r"nan is a number; .*Normal\(scale=1.0\)"),
        ("normal", r"'normal' is a text; give Normal\(scale=1.0\), or read an option with parse\('D=normal:scale=1'\)"),
        (Normal, r"Normal is a class; give a value such as Normal\(scale=1.0\)"),
        (StudentT, r"StudentT is a class; give a value such as StudentT\(df=4, scale=1.0\)"),
        (GaussianMixture, r"GaussianMixture is a class; give a value such as GaussianMixture\(weights="),
        (dist.Cauchy, r"Cauchy is a class; .*or a callable loc → distribution"),
        (LogNormal(0.1, 1.0), r"is a distribution of a scale; .*Normal\(scale=LogNormal\(median=0.1, sigma=1.0\)\)"),
        (None, "None is not a prior; give one of Normal, StudentT, Laplace, Horseshoe, GaussianMixture, or a callable"),
        (True, "True is not a prior"),
        ({"family": "normal"}, "is not a prior"),
    ],
)
@pytest.mark.parametrize("node", ["D", "Z", "V", "U", "S"])
def test_values_that_are_no_prior_are_refused_with_an_alternative(node: str, bad: object, message: str) -> None:
    with pytest.raises(InputError, match=f"prior of {node}: .*{message}"):
        Priors(**{node: bad})


def test_the_alternatives_that_refusals_name_are_priors() -> None:
    """Each family of the examples is built from the text that the message shows."""
    families = {kind.__name__: kind for kind in (Normal, StudentT, Laplace, Horseshoe, GaussianMixture)}
    assert set(_EXAMPLES) == set(families)
    for name, text in _EXAMPLES.items():
        assert isinstance(Priors(D=eval(text, families)).D, families[name])


@pytest.mark.parametrize("bad", [lambda: dist.Normal(0.0, 1.0), lambda loc: loc.no_such_attribute])
def test_a_callable_that_raises_is_refused_with_its_error(bad: Prior) -> None:
    with pytest.raises(InputError, match=r"called with a mean of shape \(3, 2\) it raises (TypeError|AttributeError)"):
        Priors(D=bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda loc: loc, r"returns a Tensor and not a distribution; give a callable"),
        (lambda loc: dist.Normal(loc, 1.0), r"end it with \.to_event\(1\)"),
        (lambda loc: dist.Normal(loc, 1.0).to_event(2), "batch and event shape"),
        (lambda loc: dist.Normal(loc[0], 1.0).to_event(1), "batch and event shape"),
        (lambda loc: dist.LogNormal(loc, 1.0).to_event(1), "expected the whole real line"),
        (lambda loc: dist.Uniform(loc - 1, loc + 1).to_event(1), "expected the whole real line"),
        (lambda loc: dist.Normal(loc, math.inf).to_event(1), "not finite at its mean"),
    ],
)
@pytest.mark.parametrize("node", ["D", "Z", "V", "U"])
def test_callables_without_a_valid_distribution_are_refused(node: str, bad: object, message: str) -> None:
    with pytest.raises(InputError, match=f"prior of {node}: .*{message}"):
        Priors(**{node: bad})


@pytest.mark.parametrize(
    ("node", "prior", "message"),
    [
        (
            "V",
            Normal(LogNormal(0.1, 1.0)),
            "has a random scale, but V is a point estimate.*prior_sensitivity",
        ),
        ("V", Horseshoe(0.1), "has a random scale, but V is a point estimate for each item"),
        ("V", GaussianMixture((1.0,), (0.0,), (1.0,)), "no single location and scale"),
        ("U", Horseshoe(0.1), "inference sets U to the mean that f_seq predicts"),
        ("Z", Laplace(HalfNormal(0.1)), "inference sets Z to the mean that f_pop predicts"),
        ("S", Normal(HalfCauchy(0.1)), "by the hyperprior of S"),
        ("S", GaussianMixture((1.0,), (0.0,), (1.0,)), "by the hyperprior of S"),
    ],
)
def test_families_that_a_node_cannot_have_are_refused_with_the_reason(node: str, prior: Prior, message: str) -> None:
    with pytest.raises(InputError, match=f"prior of {node}: .*{message}"):
        Priors(**{node: prior})


def test_a_mixture_without_a_guide_is_refused_with_an_alternative() -> None:
    def prior(loc: Tensor) -> dist.TorchDistribution:
        parts = dist.Normal(loc.unsqueeze(-2) + torch.zeros(2, 1), 1.0).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(torch.ones(*loc.shape[:-1], 2)), parts)

    with pytest.raises(InputError, match=r"no guide for the support.*for a mixture give GaussianMixture"):
        Priors(D=prior)

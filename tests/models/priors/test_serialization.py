"""Priors as plain JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors.serialization import from_plain, to_plain
from prerec_pyro.priors import HalfCauchy, Normal
from tests.models.priors.strategies import PRIOR_OF_D


@settings(deadline=None)
@given(PRIOR_OF_D)
def test_from_plain_inverts_to_plain(prior: object) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(prior)))) == prior


def test_a_hyperprior_is_a_nested_family() -> None:
    plain = {"family": "normal", "scale": {"family": "half_cauchy", "scale": 0.5}}
    assert to_plain(Normal(HalfCauchy(0.5))) == plain
    with pytest.raises(InputError, match=r"no family 'normal'; expected one of log_normal, half_normal, half_cauchy"):
        from_plain({"family": "normal", "scale": {"family": "normal", "scale": 1.0}})


@pytest.mark.parametrize("plain", [{}, {"family": None}, {"family": ["normal"]}, {"family": "half_cauchy", "scale": 1}])
def test_an_unknown_family_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected one of normal, student_t, laplace, horseshoe, mixture"):
        from_plain(plain)


@pytest.mark.parametrize("value", [lambda loc: loc, 0.5, "normal", None, Normal])
def test_values_without_a_named_family_cannot_be_written(value: object) -> None:
    with pytest.raises(TypeError, match="does not belong to a named family"):
        to_plain(value)

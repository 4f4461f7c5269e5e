"""Priors as text: what `parse` reads, writes back with `to_text`, and refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors import FAMILIES, Prior, parse, to_text
from prerec_pyro.priors import GaussianMixture, HalfCauchy, Horseshoe, Laplace, LogNormal, Normal, StudentT
from tests.models.priors.strategies import PRIOR_OF_D


@settings(deadline=None)
@given(st.sampled_from(["D", "W_d", "W_z"]), PRIOR_OF_D)
def test_parse_inverts_to_text(node: str, prior: Prior) -> None:
    assert parse(to_text(node, prior)) == (node, prior)


@pytest.mark.parametrize(
    ("text", "node", "prior"),
    [
        ("D=student_t:df=4,scale=0.5", "D", StudentT(4, 0.5)),
        ("Z=normal:scale=1e-1", "Z", Normal(0.1)),
        (" V = laplace : scale = 2 ", "V", Laplace(2)),
        ("W_z=horseshoe:scale=half_cauchy(scale=0.1)", "W_z", Horseshoe(HalfCauchy(0.1))),
        ("D=student_t:df=4,scale=log_normal(median=0.02, sigma=1)", "D", StudentT(4, LogNormal(0.02, 1))),
        (
            "D=mixture:weights=(0.25,0.75),means=((0,1),-2),scales=(1, 2)",
            "D",
            GaussianMixture((0.25, 0.75), ((0, 1), -2), (1, 2)),
        ),
    ],
)
def test_parse_reads_options(text: str, node: str, prior: Prior) -> None:
    assert parse(text) == (node, prior)
    assert set(FAMILIES) == {"normal", "student_t", "laplace", "horseshoe", "mixture"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected NODE=FAMILY:NAME=NUMBER,…"),
        ("D", "expected NODE=FAMILY:NAME=NUMBER,…"),
        ("D=", "expected NODE=FAMILY:NAME=NUMBER,…"),
        ("W=normal:scale=1", "no such node; expected one of D, Z, V, U"),
        ("D=cauchy:scale=1", "no family 'cauchy'; expected one of normal, student_t, laplace"),
        ("D=normal", "normal takes exactly scale; got nothing"),
        ("D=student_t:scale=1", "student_t takes exactly df, scale; got scale"),
        ("D=normal:scale=1,df=2", "normal takes exactly scale; got scale, df"),
        ("D=normal:scale", "'scale' is not NAME=NUMBER"),
        ("D=normal:scale=wide", "'scale=wide' is not NAME=NUMBER"),
        ("D=normal:scale=-1", "scale is -1.0, expected a positive number"),
        ("D=normal:scale=nan", "expected a positive number"),
        ("D=normal:scale=1,scale=2", "scale is given twice"),
        ("D=normal:scale=gamma(shape=1)", "no distribution 'gamma'; expected one of log_normal, half_normal, half_cau"),
        ("D=normal:scale=half_normal(scale=1", "brackets do not match"),
        ("D=normal:scale=half_normal(width=1)", "prior of D: half_normal takes exactly scale; got width"),
        ("D=normal:scale=half_normal", "nor NAME=DISTRIBUTION"),
        ("D=normal:scale=(1,2)", r"scale is \[1.0, 2.0\], expected a positive number"),
        ("D=mixture:weights=(1),means=(0),scales=(nan)", r"scales\[0\] is nan"),
    ],
)
def test_parse_refuses_other_forms_and_says_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


def test_a_user_callable_has_no_text() -> None:
    with pytest.raises(InputError, match=r"prior of D: .* does not belong to a named family"):
        to_text("D", lambda loc: Normal(1.0)(loc))

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pyro.distributions as dist
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors import FAMILIES, Laplace, Normal, Prior, Priors, StudentT, build, parse

POSITIVE = st.floats(1e-3, 1e3)
ANY_PRIOR = st.one_of(
    st.builds(Normal, POSITIVE), st.builds(StudentT, POSITIVE, POSITIVE), st.builds(Laplace, POSITIVE)
)


@pytest.mark.parametrize(
    ("prior", "reference"),
    [
        (Normal(0.5), stats.norm(1.0, 0.5)),
        (StudentT(df=4, scale=0.5), stats.t(4, 1.0, 0.5)),
        (Laplace(0.5), stats.laplace(1.0, 0.5)),
    ],
)
def test_families_are_what_their_names_say(prior: Prior, reference: stats.distributions.rv_frozen) -> None:
    fn = prior(torch.ones(3, 2).double())
    assert (fn.batch_shape, fn.event_shape) == ((3,), (2,))
    value = torch.tensor([[-1.0, 0.0], [1.0, 1.0], [2.5, 9.0]]).double()
    torch.testing.assert_close(fn.log_prob(value), torch.from_numpy(reference.logpdf(value.numpy()).sum(-1)))
    assert fn.sample().shape == (3, 2)


@given(ANY_PRIOR, st.integers(0, 3), st.integers(1, 5))
def test_families_take_any_shape_of_mean(prior: Prior, rows: int, dim: int) -> None:
    fn = prior(torch.zeros(2, rows, dim))
    assert (fn.batch_shape, fn.event_shape) == ((2, rows), (dim,))


@given(ANY_PRIOR, ANY_PRIOR, ANY_PRIOR, ANY_PRIOR)
def test_a_saved_configuration_gives_the_same_priors(D: Prior, Z: Prior, V: Prior, U: Prior) -> None:
    priors = Priors(D=D, Z=Z, V=V, U=U)
    assert Priors.from_config(json.loads(json.dumps(priors.to_config()))) == priors


def test_what_is_left_out_keeps_its_default() -> None:
    assert Priors.from_config({}) == Priors()
    changed = Priors.from_config({"D": {"family": "laplace", "scale": 2.0}})
    assert changed == Priors(D=Laplace(2.0))
    assert changed.V == Priors().V


def test_a_callable_of_the_users_own_is_taken_but_cannot_be_saved() -> None:
    priors = Priors(D=lambda loc: dist.Cauchy(loc, 1.0).to_event(1))
    assert isinstance(priors.D(torch.zeros(1, 2)).base_dist, dist.Cauchy)
    with pytest.raises(
        InputError, match=r"prior of D: .* cannot be saved; saved models take normal, student_t, laplace"
    ):
        priors.to_config()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (0.5, "0.5 is not a prior; expected Normal, StudentT, Laplace or a callable"),
        ("normal", "'normal' is not a prior"),
        (lambda loc: loc, "batch and event shape"),
        (lambda loc: dist.Normal(loc, 1.0), r"end it with \.to_event\(1\)"),
        (lambda loc: dist.Normal(loc, 1.0).to_event(2), "batch and event shape"),
        (lambda loc: dist.Normal(loc[0], 1.0).to_event(1), "batch and event shape"),
        (lambda loc: dist.LogNormal(loc, 1.0).to_event(1), "expected the whole real line"),
        (lambda loc: dist.Uniform(loc - 1, loc + 1).to_event(1), "expected the whole real line"),
        (lambda loc: dist.Normal(loc, math.inf).to_event(1), "not finite at its mean"),
    ],
)
@pytest.mark.parametrize("node", ["D", "Z", "V", "U"])
def test_refuses_what_is_no_prior(node: str, bad: object, message: str) -> None:
    with pytest.raises(InputError, match=f"prior of {node}: .*{message}"):
        Priors(**{node: bad})


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "1", None])
@pytest.mark.parametrize("make", [Normal, Laplace, lambda v: StudentT(v, 1.0), lambda v: StudentT(4.0, v)])
def test_refuses_scales_that_are_not_positive(make: Callable[[object], Prior], value: object) -> None:
    with pytest.raises(InputError, match="expected a positive number"):
        make(value)


@pytest.mark.parametrize(
    ("text", "node", "prior"),
    [
        ("D=student_t:df=4,scale=0.5", "D", StudentT(4, 0.5)),
        ("Z=normal:scale=1e-1", "Z", Normal(0.1)),
        (" V = laplace : scale = 2 ", "V", Laplace(2)),
    ],
)
def test_parse_reads_options(text: str, node: str, prior: Prior) -> None:
    assert parse(text) == (node, prior)
    assert set(FAMILIES) == {"normal", "student_t", "laplace"}


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
    ],
)
def test_parse_says_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


def test_build_says_what_is_allowed() -> None:
    assert build("D", "student_t", df=4, scale=0.5) == StudentT(4, 0.5)
    with pytest.raises(InputError, match="no such node; expected one of D, Z, V, U"):
        build("X", "normal", scale=1.0)

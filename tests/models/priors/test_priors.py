from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors import (
    FAMILIES,
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
    build,
    center,
    hypers,
    parse,
)
from prerec_pyro.models.priors.families import to_plain
from prerec_pyro.models.priors.hyperpriors import ScalePrior
from prerec_pyro.models.priors.parsing import to_text

POSITIVE = st.floats(1e-3, 1e3)
ANY_PRIOR = st.one_of(
    st.builds(Normal, POSITIVE), st.builds(StudentT, POSITIVE, POSITIVE), st.builds(Laplace, POSITIVE)
)
ANY_SCALE = st.one_of(
    POSITIVE, st.builds(LogNormal, POSITIVE, POSITIVE), st.builds(HalfNormal, POSITIVE), st.builds(HalfCauchy, POSITIVE)
)
NUMBER = st.floats(-1e3, 1e3)


@st.composite
def mixtures(draw: st.DrawFn) -> GaussianMixture:
    kinds, width = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    raw = draw(st.lists(st.integers(1, 9), min_size=kinds, max_size=kinds))
    mean = NUMBER if draw(st.booleans()) else st.tuples(*[NUMBER] * width)
    several = {"min_size": kinds, "max_size": kinds}
    return GaussianMixture(
        weights=tuple(weight / sum(raw) for weight in raw),
        means=tuple(draw(st.lists(mean, **several))),
        scales=tuple(draw(st.lists(POSITIVE, **several))),
    )


ANY_OF_D = st.one_of(
    st.builds(Normal, ANY_SCALE),
    st.builds(StudentT, POSITIVE, ANY_SCALE),
    st.builds(Laplace, ANY_SCALE),
    st.builds(Horseshoe, ANY_SCALE),
    mixtures(),
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


@settings(deadline=None)
@given(ANY_OF_D, ANY_PRIOR, ANY_PRIOR, ANY_PRIOR, st.none() | ANY_OF_D)
def test_a_saved_configuration_gives_the_same_priors(D: Prior, Z: Prior, V: Prior, U: Prior, W_z: Prior | None) -> None:
    priors = Priors(D=D, Z=Z, V=V, U=U, W_z=W_z)
    assert ("W_z" in priors.to_config()) == (W_z is not None)
    assert Priors.from_config(json.loads(json.dumps(priors.to_config()))) == priors


@settings(deadline=None)
@given(st.sampled_from(["D", "W_d", "W_z"]), ANY_OF_D)
def test_what_is_written_as_an_option_is_read_as_the_same_prior(node: str, prior: Prior) -> None:
    assert parse(to_text(node, to_plain(prior))) == (node, prior)


@settings(deadline=None)
@given(ANY_OF_D, st.integers(1, 3))
def test_random_settings_have_the_shapes_of_their_sites(prior: Prior, rows: int) -> None:
    loc = torch.zeros(rows, getattr(prior, "width", None) or 3)
    values = {}
    for name, hyper in hypers(prior, loc).items():
        shape = () if hyper.shared else tuple(loc.shape)
        assert tuple(hyper.fn.sample().shape) == tuple(hyper.start.shape) == shape
        assert hyper.fn.support.check(hyper.start).all()
        values[name] = hyper.start
    fn = prior(loc, **values)
    assert (fn.batch_shape, fn.event_shape) == (loc.shape[:-1], loc.shape[-1:])


def test_a_scale_that_is_given_is_the_scale() -> None:
    fn = Normal(LogNormal(0.5, 1.0))(torch.zeros(2, 3), scale=torch.tensor(4.0))
    assert torch.equal(fn.base_dist.scale, torch.full((2, 3), 4.0))
    many = Normal(LogNormal(0.5, 1.0))(torch.zeros(2, 3), scale=torch.tensor([[4.0], [5.0]]))  # two particles
    assert torch.equal(many.base_dist.scale[:, 0, 0], torch.tensor([4.0, 5.0]))
    fn = Horseshoe(0.5)(torch.zeros(1, 2), local=torch.tensor([[2.0, 6.0]]))
    assert torch.equal(fn.base_dist.scale, torch.tensor([[1.0, 3.0]]))


@pytest.mark.parametrize(
    ("scale", "reference"),
    [
        (LogNormal(0.5, 0.7), stats.lognorm(s=0.7, scale=0.5)),
        (HalfNormal(0.5), stats.halfnorm(scale=0.5)),
        (HalfCauchy(0.5), stats.halfcauchy(scale=0.5)),
    ],
)
def test_distributions_of_a_scale_are_what_their_names_say(scale: ScalePrior, reference: Any) -> None:
    assert scale.median == pytest.approx(reference.median())
    value = torch.tensor([0.1, 0.5, 3.0]).double()
    torch.testing.assert_close(scale(value).log_prob(value), torch.from_numpy(reference.logpdf(value.numpy())))


def test_the_density_of_a_mixture_is_the_sum_of_its_kinds() -> None:
    prior = GaussianMixture((0.3, 0.7), ((1.0, -1.0), 0.5), (0.2, 2.0))
    value = torch.tensor([[0.9, -1.1], [3.0, 0.0]]).double()
    expected = 0.3 * stats.norm([2.0, 0.0], 0.2).pdf(value).prod(1) + 0.7 * stats.norm(1.5, 2.0).pdf(value).prod(1)
    fn = prior(torch.ones(2, 2).double())
    torch.testing.assert_close(fn.log_prob(value).exp(), torch.from_numpy(expected))
    torch.testing.assert_close(center(fn), torch.tensor([[1.0 + 0.3 + 0.35, 1.0 - 0.3 + 0.35]] * 2).double())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianMixture((0.5, 0.4), (0, 1), (1, 1)), "weights sum to 0.9, expected 1"),
        (lambda: GaussianMixture((0.5, 0.5), (0, 1), (1, -1)), r"scales\[1\] is -1, expected a positive number"),
        (lambda: GaussianMixture((0.5, 0.5), (0,), (1, 1)), "numbers of kinds differ"),
        (lambda: GaussianMixture((0.5, 0.5), ((0, 1), (1,)), (1, 1)), "different lengths"),
        (lambda: GaussianMixture((0.5, 0.5), (0, math.nan), (1, 1)), "means holds nan"),
        (lambda: GaussianMixture(1.0, (0,), (1,)), "weights is 1.0, expected a number for each kind"),
        (lambda: GaussianMixture((1,), ((0, 1, 2),), (1,))(torch.zeros(1, 2)), "means have 3 numbers, the node has 2"),
        (lambda: Normal(lambda like: like), "expected a positive number or one of LogNormal, HalfNormal, HalfCauchy"),
        (lambda: LogNormal(0.0, 1.0), "prior log_normal: median is 0.0, expected a positive number"),
        (lambda: Horseshoe(-1.0), "prior horseshoe: scale is -1.0, expected a positive number"),
    ],
)
def test_families_refuse_settings_that_mean_nothing(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("node", "prior", "message"),
    [
        ("V", Normal(LogNormal(0.1, 1.0)), "has a random scale, but V is one point an item.*prior_sensitivity"),
        ("V", Horseshoe(0.1), "has a random scale, but V is one point an item"),
        ("V", GaussianMixture((1.0,), (0.0,), (1.0,)), "no single location and scale"),
        ("U", Horseshoe(0.1), "U stands at the mean that f_seq predicts"),
        ("Z", Laplace(HalfNormal(0.1)), "Z stands at the mean that f_pop predicts"),
        ("S", Normal(HalfCauchy(0.1)), "learnt anyway, as `spread`"),
        ("S", GaussianMixture((1.0,), (0.0,), (1.0,)), "learnt anyway, as `spread`"),
    ],
)
def test_what_a_node_cannot_have_is_refused_with_the_reason(node: str, prior: Prior, message: str) -> None:
    with pytest.raises(InputError, match=f"prior of {node}: .*{message}"):
        Priors(**{node: prior})


def test_a_mixture_that_no_guide_can_follow_is_refused_with_the_way_out() -> None:
    def prior(loc: Tensor) -> dist.TorchDistribution:
        parts = dist.Normal(loc.unsqueeze(-2) + torch.zeros(2, 1), 1.0).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(torch.ones(*loc.shape[:-1], 2)), parts)

    with pytest.raises(InputError, match=r"no guide for the support.*of mixtures GaussianMixture has one"):
        Priors(D=prior)


def test_what_is_left_out_keeps_its_default() -> None:
    assert Priors.from_config({}) == Priors()
    changed = Priors.from_config({"D": {"family": "laplace", "scale": 2.0}})
    assert changed == Priors(D=Laplace(2.0))
    assert changed.V == Priors().V


def test_a_callable_of_the_users_own_is_taken_but_cannot_be_saved() -> None:
    priors = Priors(D=lambda loc: dist.Cauchy(loc, 1.0).to_event(1))
    assert isinstance(priors.D(torch.zeros(1, 2)).base_dist, dist.Cauchy)
    with pytest.raises(
        InputError, match=r"prior of D: .* cannot be saved; saved models take normal, student_t, laplace, horseshoe"
    ):
        priors.to_config()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (0.5, "0.5 is not a prior; expected Normal, StudentT, Laplace, Horseshoe, GaussianMixture or a callable"),
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
def test_parse_says_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


def test_build_says_what_is_allowed() -> None:
    assert build("D", "student_t", df=4, scale=0.5) == StudentT(4, 0.5)
    with pytest.raises(InputError, match="no such node; expected one of D, Z, V, U"):
        build("X", "normal", scale=1.0)

"""Hypothesis strategies for priors."""

from __future__ import annotations

from hypothesis import strategies as st

from prerec_pyro.priors import GaussianMixture, HalfCauchy, HalfNormal, Horseshoe, Laplace, LogNormal, Normal, StudentT

POSITIVE = st.floats(1e-3, 1e3)
NUMBER = st.floats(-1e3, 1e3)
FIXED_SCALE_PRIOR = st.one_of(
    st.builds(Normal, POSITIVE), st.builds(StudentT, POSITIVE, POSITIVE), st.builds(Laplace, POSITIVE)
)
ANY_SCALE = st.one_of(
    POSITIVE, st.builds(LogNormal, POSITIVE, POSITIVE), st.builds(HalfNormal, POSITIVE), st.builds(HalfCauchy, POSITIVE)
)


@st.composite
def mixtures(draw: st.DrawFn) -> GaussianMixture:
    components, width = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    raw = draw(st.lists(st.integers(1, 9), min_size=components, max_size=components))
    mean = NUMBER if draw(st.booleans()) else st.tuples(*[NUMBER] * width)
    several = {"min_size": components, "max_size": components}
    return GaussianMixture(
        weights=tuple(weight / sum(raw) for weight in raw),
        means=tuple(draw(st.lists(mean, **several))),
        scales=tuple(draw(st.lists(POSITIVE, **several))),
    )


PRIOR_OF_D = st.one_of(
    st.builds(Normal, ANY_SCALE),
    st.builds(StudentT, POSITIVE, ANY_SCALE),
    st.builds(Laplace, ANY_SCALE),
    st.builds(Horseshoe, ANY_SCALE),
    mixtures(),
)

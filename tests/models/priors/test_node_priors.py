"""`Priors`: defaults, display, configuration, and unknown nodes."""

from __future__ import annotations

import dataclasses
import json

import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors import GaussianMixture, Laplace, Normal, Prior, Priors, StudentT, build
from tests.models.priors.strategies import FIXED_SCALE_PRIOR, PRIOR_OF_D


@settings(deadline=None)
@given(PRIOR_OF_D, FIXED_SCALE_PRIOR, FIXED_SCALE_PRIOR, FIXED_SCALE_PRIOR, st.none() | PRIOR_OF_D)
def test_from_config_inverts_to_config(D: Prior, Z: Prior, V: Prior, U: Prior, W_z: Prior | None) -> None:
    priors = Priors(D=D, Z=Z, V=V, U=U, W_z=W_z)
    assert ("W_z" in priors.to_config()) == (W_z is not None)
    assert Priors.from_config(json.loads(json.dumps(priors.to_config()))) == priors


def test_nodes_left_out_keep_their_default() -> None:
    assert Priors.from_config({}) == Priors()
    changed = Priors.from_config({"D": {"family": "laplace", "scale": 2.0}})
    assert changed == Priors(D=Laplace(2.0))
    assert changed.V == Priors().V


def test_a_user_callable_is_accepted_but_cannot_be_saved() -> None:
    priors = Priors(D=lambda loc: dist.Cauchy(loc, 1.0).to_event(1))
    assert isinstance(priors.D(torch.zeros(1, 2)).base_dist, dist.Cauchy)
    with pytest.raises(
        InputError, match=r"prior of D: .* cannot be saved; saved models take normal, student_t, laplace, horseshoe"
    ):
        priors.to_config()


def test_build_lists_what_is_allowed() -> None:
    assert build("D", "student_t", df=4, scale=0.5) == StudentT(4, 0.5)
    with pytest.raises(InputError, match="no such node; expected one of D, Z, V, U"):
        build("X", "normal", scale=1.0)


def test_the_default_is_shown_without_a_node() -> None:
    assert repr(Priors()) == "Priors()"
    assert repr(Priors(D=Normal(0.02))) == "Priors()"


def test_nodes_that_differ_are_shown_one_line_each() -> None:
    shown = repr(Priors(W_z=Normal(0.3), D=StudentT(4, 0.05)))
    assert shown == (
        "Priors(\n    D=StudentT(df=4, scale=0.05),\n    W_z=Normal(scale=0.3),  # lifted: a random variable\n)"
    )
    assert eval(shown, {"Priors": Priors, "Normal": Normal, "StudentT": StudentT}) == Priors(
        W_z=Normal(0.3), D=StudentT(4, 0.05)
    )


def wide(loc: torch.Tensor) -> dist.TorchDistribution:
    return dist.Cauchy(loc, 0.1).to_event(1)


class Wordy:
    """A prior that shows itself on many lines."""

    def __call__(self, loc: torch.Tensor) -> dist.TorchDistribution:
        return wide(loc)

    def __repr__(self) -> str:
        return "Wordy(\n" + "\n".join(f"  setting {number}" for number in range(50)) + ")"


def test_ten_lines_are_enough_whatever_the_priors_are() -> None:
    mixture = GaussianMixture(tuple([0.02] * 50), tuple([0.0] * 50), tuple([1.0] * 50))
    shown = repr(Priors(D=Wordy(), Z=Laplace(1), V=wide, U=Laplace(1), S=Laplace(1), W_d=mixture, W_z=Wordy()))
    lines = shown.splitlines()
    assert len(lines) == 9
    assert max(map(len, lines)) < 220
    assert lines[1].startswith("    D=Wordy( setting 0 setting 1")
    assert lines[3] == "    V=<function wide>,"


@pytest.mark.parametrize("name", ["X", "d", "W_x", "scale"])
def test_an_unknown_node_is_refused_with_the_list_of_nodes(name: str) -> None:
    message = f"prior of '{name}': there is no such node; expected one of D, Z, V, U, S, W_d, W_z$"
    with pytest.raises(InputError, match=message):
        Priors(**{name: Normal(1.0)})
    with pytest.raises(InputError, match=message):
        dataclasses.replace(Priors(), **{name: Normal(1.0)})
    with pytest.raises(InputError, match=message):
        Priors.from_config({name: {"family": "normal", "scale": 1.0}})


@pytest.mark.parametrize(
    ("settings_of_D", "message"),
    [
        (0.5, "prior of D: 0.5 is not a configuration such as {'family': 'normal', 'scale': 0.1}"),
        ({"scale": 1.0}, "prior of D: no family None; expected one of normal, student_t"),
        ({"family": "normal", "scale": "wide"}, "prior of D: normal: scale is 'wide', expected a positive number"),
    ],
)
def test_a_configuration_of_another_form_is_refused(settings_of_D: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Priors.from_config({"D": settings_of_D})


def test_priors_are_values() -> None:
    priors = Priors(D=Laplace(2.0))
    assert dataclasses.replace(priors, D=Normal(0.02)) == Priors()
    assert hash(priors) == hash(Priors(D=Laplace(2.0)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        priors.D = Normal(1.0)

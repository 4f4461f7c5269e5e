"""The prior of S of a new store is its prediction: with no log, against calibration, and for any family."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from prerec_pyro.inference.calibration.evidence import gather
from prerec_pyro.inference.calibration.fit import posterior_mode
from prerec_pyro.inference.calibration.prediction import PredictedPrior, Prediction
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.posterior.fit import infer_posterior
from prerec_pyro.inference.posterior.gaussian import laplace
from prerec_pyro.inference.posterior.mode import Mode, maximize
from prerec_pyro.inference.posterior.program import DomainProgram
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.priors import Laplace, Normal, Prior, Priors, StudentT
from tests.support.models import PRIORS, small_encoded, small_graph

ENCODED, EVERYBODY = small_encoded(num_items=15, num_users=40), np.arange(40)
MEAN = torch.tensor([0.8, -0.6, 1.1, -0.9, 0.3, -0.4])  # in units of spread
STD = torch.tensor([0.3, 0.5, 0.4, 0.6, 0.2, 0.7])
FAMILIES: dict[str, Prior] = {"normal": Normal(1.0), "student": StudentT(df=4, scale=1.3), "laplace": Laplace(0.8)}


def graph_with(S: Prior = FAMILIES["normal"]) -> ExtendedGraph:
    graph = small_graph(graph="extended", priors=Priors(D=PRIORS.D, Z=PRIORS.Z, V=PRIORS.V, U=PRIORS.U, S=S)).eval()
    assert isinstance(graph, ExtendedGraph)
    return graph


def in_nats(graph: ExtendedGraph) -> Prediction:
    return Prediction(MEAN * graph.likelihood.spread, STD * graph.likelihood.spread)


def prior_of(graph: ExtendedGraph) -> PredictedPrior:
    return PredictedPrior.of(graph.priors.S, in_nats(graph), graph.likelihood.spread)


def without_log(graph: ExtendedGraph) -> DomainProgram:
    return DomainProgram(graph, {"D": torch.zeros(1, graph.config.latent_dim)}, torch.float64, prior_of(graph))


def torch_family(name: str) -> dist.TorchDistribution:
    """The family around the prediction, written out."""
    mean, std = MEAN.double(), STD.double()
    return {
        "normal": dist.Normal(mean, std),
        "student": dist.StudentT(4.0, mean, 1.3 * std),
        "laplace": dist.Laplace(mean, 0.8 * std),
    }[name]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_density_is_that_of_the_family_around_the_prediction(family: str) -> None:
    graph = graph_with(FAMILIES[family])
    S = torch.randn(1, 6, generator=torch.Generator().manual_seed(0)).double()
    expected = torch_family(family)
    torch.testing.assert_close(prior_of(graph)(torch.zeros(1, 6).double()).log_prob(S), expected.log_prob(S).sum(-1))
    program = without_log(graph)
    zero, one = program.units["S"]  # in units of the prior: the density there has the factor `one`
    torch.testing.assert_close((zero[0], one[0]), (expected.loc, expected.scale))
    torch.testing.assert_close(
        program.log_prior({"S": S}), float(expected.log_prob(S).sum() + one.log().sum()), rtol=1e-6, atol=1e-6
    )


def test_without_a_log_the_posterior_is_the_prediction() -> None:
    program = without_log(graph_with())
    guide, mode, _ = maximize(program, {"S": torch.zeros(1, 6).double()})
    torch.testing.assert_close(mode["S"][0].float(), MEAN, atol=1e-4, rtol=0)
    approximation = laplace(Mode(guide, mode, 0, 0.0))
    pyro.set_rng_seed(0)
    with torch.no_grad():
        points = torch.stack([approximation()["S_unit"] for _ in range(4000)])  # (4000, 1, 6)
        from_prior = torch.stack([program.latents()["S"][0] for _ in range(4000)])
    zero, one = program.units["S"]
    for draws in ((zero + one * points)[:, 0], from_prior):
        torch.testing.assert_close(draws.mean(0).float(), MEAN, atol=0.05, rtol=0)
        torch.testing.assert_close(draws.std(0).float(), STD, rtol=0.06, atol=0)


@pytest.mark.parametrize("family", ["normal", "student"])
def test_the_mode_is_that_of_calibration(family: str) -> None:
    """All items of a small catalogue are rivals, so that both have the same likelihood."""
    graph = graph_with(FAMILIES[family])
    scorer = InterventionalScorer(graph, ENCODED, Intervention({}))
    evidence = gather(scorer, ENCODED, EVERYBODY)
    expected = posterior_mode(graph, evidence, start=MEAN.double(), prior=in_nats(graph))
    settings = {"latents": ("S",), "queries": None, "max_log": None}
    found = infer_posterior(
        graph, TrainedDomains(), ENCODED, EVERYBODY, "delta", prior_S=prior_of(graph), **settings
    ).draws["S"][0, 0]
    torch.testing.assert_close(found, expected.float(), atol=0.01, rtol=0)
    between = infer_posterior(graph, TrainedDomains(), ENCODED, EVERYBODY, "delta", **settings).draws["S"][0, 0]
    assert (found - between).abs().max() > 0.3, "the prediction counts"


def test_variational_inference_agrees_with_laplace() -> None:
    """It changes the units of the program, which must not change the prior."""
    graph = graph_with()
    settings = {
        "latents": ("S",),
        "queries": None,
        "draws": 100,
        "steps": 150,
        "restarts": 1,
        "prior_S": prior_of(graph),
    }
    one, other = (
        infer_posterior(graph, TrainedDomains(), ENCODED, EVERYBODY, method, **settings).summary()
        for method in ("laplace", "low_rank")
    )
    assert ((one["mean"] - other["mean"]).abs() / one["sd"]).max() < 0.5
    assert (other["sd"] / one["sd"]).between(0.7, 1.4).all()

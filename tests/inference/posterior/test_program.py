"""The program of one domain: its density, its latents and units, the linear term for the rest of the log."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyro
import pytest
import torch

from prerec_pyro.data.batching.batch import catalogue_batch
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.posterior.program import DomainProgram
from prerec_pyro.models.graphs.domain_nodes import Weights
from prerec_pyro.models.graphs.registry import GraphClass, graph_name
from prerec_pyro.models.priors import LogNormal, Normal, Priors, StudentT
from tests.support.graphs import WIDE, all_windows, as_double, make_encoded, make_graph
from tests.support.models import EVERY_GRAPH

ENCODED = make_encoded()


def program_of(graph, known=None, parts: int = 2) -> DomainProgram:
    program = DomainProgram(graph, known or {}, torch.float64)
    windows = all_windows(ENCODED)
    batches = [catalogue_batch(ENCODED, windows[part])[0] for part in np.array_split(np.arange(len(windows)), parts)]
    program.observe([program.ready(as_double(batch)) for batch in batches], 1.0, {}, {})
    return program


def log_density(program: DomainProgram, values: dict[str, torch.Tensor]) -> torch.Tensor:
    start = program.start(values)
    return pyro.poutine.trace(pyro.poutine.condition(program, data=start)).get_trace().log_prob_sum()


def some_values(graph, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    D = torch.randn(1, graph.config.latent_dim, generator=generator, dtype=torch.float64)
    S = torch.randn(1, graph.domain_widths.get("S", 1), generator=generator, dtype=torch.float64)
    return {site: value for site, value in (("D", D), ("S", S)) if site in graph.edges}


@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
@pytest.mark.parametrize("with_offsets", [False, True])
def test_the_density_is_the_sum_of_log_likelihoods_and_the_log_prior(kind: GraphClass, with_offsets: bool) -> None:
    """The likelihood is compared with the scorer that ranks items, the prior with its formula in units of its scale."""
    graph = make_graph(kind, num_domains=1)
    num_rows = len(ENCODED.domain.item_ids)
    known = {"V_decentered": torch.randn(num_rows, 8, dtype=torch.float64)} if with_offsets else {}
    program, values = program_of(graph, known), some_values(graph)
    scorer = InterventionalScorer(graph, as_double_encoded(), Intervention({}), trained=values | known)
    batch = as_double(catalogue_batch(ENCODED, all_windows(ENCODED))[0])
    fit = scorer(batch).log_softmax(1).gather(1, batch.targets[:, None]).sum()
    expected = fit
    for site, value in values.items():
        scale = {"D": WIDE.D.scale, "S": 1.0}[site]
        expected = expected + torch.distributions.Normal(0, 1).log_prob(value / scale).sum()
    torch.testing.assert_close(log_density(program, values), expected, rtol=1e-9, atol=1e-9)


def as_double_encoded():
    return dataclasses.replace(ENCODED, texts=ENCODED.texts.double(), _whitened={})


def test_latents_take_the_values_that_were_set_under_any_prior() -> None:
    def own(loc: torch.Tensor):
        return pyro.distributions.MultivariateNormal(loc, 0.3 * torch.eye(loc.shape[-1], dtype=loc.dtype))

    for prior in (WIDE.D, StudentT(df=4, scale=0.3), own):
        graph = make_graph(priors=Priors(D=prior))
        program, values = program_of(graph), some_values(graph)
        with pyro.poutine.condition(data=program.start(values)):
            found = program()
        for site, value in values.items():
            torch.testing.assert_close(found[site], value)


def test_lifted_weights_are_latents_and_known_nodes_are_not() -> None:
    priors = Priors(D=WIDE.D, Z=WIDE.Z, W_z=Normal(0.5), W_d=StudentT(df=4, scale=0.3))
    graph = make_graph(num_domains=1, priors=priors)
    values = some_values(graph) | {n: torch.linspace(-1, 1, 8, dtype=torch.float64) for n in ("W_d", "W_z")}
    scorer = InterventionalScorer(
        graph, as_double_encoded(), Intervention({}), trained=values, weights=Weights(values["W_d"], values["W_z"])
    )
    batch = as_double(catalogue_batch(ENCODED, all_windows(ENCODED))[0])
    fit = scorer(batch).log_softmax(1).gather(1, batch.targets[:, None]).sum()
    normal = torch.distributions.Normal(0, 1)
    prior_of_W = normal.log_prob(values["W_z"] / 0.5).sum()
    prior_of_W += torch.distributions.StudentT(4).log_prob(values["W_d"] / 0.3).sum()
    prior_of_D = normal.log_prob(values["D"] / WIDE.D.scale).sum() + normal.log_prob(values["S"]).sum()

    every = program_of(graph)
    assert every.sites == ("D", "S", "W_d", "W_z")
    torch.testing.assert_close(log_density(every, values), fit + prior_of_W + prior_of_D)
    of_weights = program_of(graph, {site: values[site] for site in ("D", "S")})
    assert of_weights.sites == ("W_d", "W_z")
    torch.testing.assert_close(log_density(of_weights, values), fit + prior_of_W)


def test_a_random_scale_is_fixed_at_its_MAP() -> None:
    priors = Priors(D=Normal(LogNormal(median=0.8, sigma=0.5)), Z=WIDE.Z)
    graph = make_graph(num_domains=1, priors=priors)
    values = some_values(graph)
    wide, narrow = ({"D_scale": torch.tensor(scale, dtype=torch.float64)} for scale in (2.0, 0.5))
    normal = torch.distributions.Normal

    def log_prior(known: dict) -> float:
        program = program_of(graph, known)
        with torch.no_grad():
            found = log_density(program, values) - sum(program.log_likelihood(values, b).sum() for b in program.batches)
        one = program.units["D"][1]  # a density in these units
        return float(found - one.log().sum())

    for known, scale in ((wide, 2.0), (narrow, 0.5)):
        expected = normal(0, scale).log_prob(values["D"]).sum() + normal(0, 1).log_prob(values["S"]).sum()
        assert log_prior(known) == pytest.approx(float(expected))


def test_a_draw_of_the_program_is_a_draw_of_the_prior() -> None:
    program = program_of(make_graph(priors=WIDE))
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = [program.latents() for _ in range(400)]
    D = torch.stack([one["D"] for one in drawn])
    assert D.shape == (400, 1, 8)
    assert abs(float(D.std()) - WIDE.D.scale) < 0.05
    assert abs(float(torch.stack([one["S"] for one in drawn]).std()) - 1) < 0.05


def test_a_part_with_the_slope_of_the_rest_agrees_with_the_whole_to_first_order() -> None:
    graph = make_graph()
    whole, part = program_of(graph), program_of(graph)
    anchor = some_values(graph)
    value, slope, count = whole.gradient(anchor, whole.batches)
    few = whole.batches[:1]
    _, own, evaluated = whole.gradient(anchor, few)
    weight = count / evaluated
    part.observe(few, weight, anchor, {site: slope[site] - weight * own[site] for site in slope})

    def gradient(program: DomainProgram, values: dict) -> dict[str, torch.Tensor]:
        leaves = {site: value.clone().requires_grad_(True) for site, value in values.items()}
        found = torch.autograd.grad(log_density(program, leaves), list(leaves.values()))
        return dict(zip(leaves, found, strict=True))

    here, there = gradient(whole, anchor), gradient(part, anchor)
    for site in anchor:
        torch.testing.assert_close(here[site], there[site])
    part.observe(few, weight, {}, {})
    assert (gradient(part, anchor)["S"] - here["S"]).abs().max() > 0.1, "without the linear term the gradient differs"
    elsewhere = some_values(graph, 1)
    assert value == pytest.approx(float(sum(whole.log_likelihood(anchor, b).sum() for b in whole.batches)))
    assert whole.gradient(elsewhere, whole.batches)[0] != pytest.approx(value)


def test_the_model_stays_as_it_is() -> None:
    graph = make_graph(num_domains=3)
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    program = program_of(graph)
    log_density(program, some_values(graph))
    assert graph.num_domains == 3
    assert all(parameter.requires_grad for parameter in graph.parameters())
    assert all(torch.equal(before[name], value) for name, value in graph.state_dict().items())


def test_other_units_measure_the_same_density() -> None:
    graph = make_graph()
    program, values = program_of(graph), some_values(graph)
    before = log_density(program, values)
    old = {site: one for site, (_, one) in program.units.items()}
    for site in program.sites:
        zero = torch.linspace(-1, 2, values[site].numel(), dtype=torch.float64).reshape(values[site].shape)
        program.units[site] = (zero, 0.5 + zero.square())
    with pyro.poutine.condition(data=program.start(values)):
        found = program()
    longer = sum((program.units[site][1] / old[site].expand(values[site].shape)).log().sum() for site in program.sites)
    torch.testing.assert_close(log_density(program, values), before + longer)
    for site, value in values.items():
        torch.testing.assert_close(found[site], value)

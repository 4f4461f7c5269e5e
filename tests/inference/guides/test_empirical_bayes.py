"""Random scales in a whole model: their sites, and that they are kept and of no consequence where nothing is asked."""

from __future__ import annotations

import dataclasses

import pyro
import pytest
import torch
from pyro.infer.inspect import get_dependencies

from prerec_pyro.errors import InputError
from prerec_pyro.inference.guides.map_guide import NonCenteredModel, map_guide, trained_nodes
from prerec_pyro.inference.trained_domains import STORES
from prerec_pyro.models.graphs.registry import latent_parents
from prerec_pyro.models.priors import GaussianMixture, HalfCauchy, HalfNormal, Horseshoe, Laplace, LogNormal, Normal
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training.objective import map_trainer, optimizers
from tests.support.models import (
    DIM,
    PRIORS,
    prerec,
    shaken,
    small_domain,
    small_encoded,
    small_graph,
    small_sources,
    training,
)

A, B = small_domain("a", seed=1), small_domain("b", num_items=9, num_users=12, seed=2)
NEW = small_domain("new", num_items=10, seed=3)
RANDOM = dataclasses.replace(PRIORS, D=Normal(LogNormal(0.5, 1.0)), W_z=Horseshoe(HalfCauchy(0.5)))
SITES = {"D_scale": (), "W_z_scale": (), "W_z_local": (DIM,)}


def first_batch(domain: int = 0):
    return dataclasses.replace(small_sources(small_encoded())[0].first_batch(training()), domain=domain)


def test_random_scales_are_sites_above_their_node_and_count_once_over_all_domains() -> None:
    graph, batch = small_graph(priors=RANDOM), first_batch()
    found = get_dependencies(graph, model_args=(batch,))["prior_dependencies"]
    parents = {node: frozenset(of) - {node} for node, of in found.items()}
    assert parents == latent_parents(graph)
    assert parents["D"] == {"D_scale"}
    assert parents["W_z"] == {"W_z_scale", "W_z_local"}
    assert not any(parents[site] for site in SITES)

    trace = pyro.poutine.trace(graph).get_trace(batch)
    trace.compute_log_prob()
    share = 1 / (batch.num_domain_queries * graph.num_domains)
    for name, shape in SITES.items():
        site = trace.nodes[name]
        assert tuple(site["value"].shape) == shape
        assert float(site["log_prob_sum"]) == pytest.approx(float(site["fn"].log_prob(site["value"])) * share)
    torch.testing.assert_close(trace.nodes["D"]["fn"].base_dist.scale[0, 0], trace.nodes["D_scale"]["value"])


def test_each_row_of_a_horseshoe_has_scales_of_its_own_and_only_the_batchs_row_counts() -> None:
    graph = small_graph(priors=dataclasses.replace(PRIORS, D=Horseshoe(0.5)))
    trace = pyro.poutine.trace(graph).get_trace(first_batch(1))
    trace.compute_log_prob()
    site = trace.nodes["D_local"]
    assert tuple(site["value"].shape) == (2, DIM)
    assert torch.equal(site["log_prob"] != 0, torch.tensor([False, True]))


@pytest.mark.parametrize(
    "prior",
    [Normal(LogNormal(0.5, 1.0)), Laplace(HalfNormal(0.5)), Horseshoe(0.3), GaussianMixture((1,), (0.2,), (1,))],
)
def test_a_step_on_one_domain_leaves_the_row_of_another_as_it_is(prior) -> None:
    graph = small_graph(priors=dataclasses.replace(PRIORS, D=prior))
    program = NonCenteredModel(graph, ("D",))
    guide = map_guide(program, 12, ("D",))
    trainer = map_trainer(program, guide, small_sources(small_encoded()), training())
    before = {name: value.detach().clone() for name, value in guide.named_parameters()}
    trainer.step(first_batch(1))
    moved = {name: value.detach() != before[name] for name, value in guide.named_parameters()}
    assert moved
    for name, where in moved.items():
        assert where.any(), name
        if where.ndim:
            assert not where[0].any(), name
    assert set(trained_nodes(guide)) == {"D", *graph.hypers.get("D", ())}


def test_scales_and_spreads_move_at_their_own_rate() -> None:
    graph = small_graph(priors=RANDOM)
    program = NonCenteredModel(graph, ("D", "S"))
    guide = map_guide(program, 12, ("D", "S"))
    guide(first_batch())
    rates = {"popularity_rate": 0.1, "domain_rate": 0.2, "effect_scale_rate": 0.3, "scale_rate": 0.4}
    (dense,) = optimizers(program, guide, training(**rates))
    rate = {id(p): group["lr"] for group in dense.param_groups for p in group["params"]}
    found = {name.removesuffix("_unconstrained"): rate[id(p)] for part in guide for name, p in part.named_parameters()}
    assert found == {
        "locs.D": 0.2,
        "scales.D": 0.4,
        "locs.W_z": 0.1,
        "scales.W_z": 0.4,
        "S": 0.3,
        "D_scale": 0.4,
        "W_z_scale": 0.4,
        "W_z_local": 0.4,
    }


def test_a_model_with_random_scales_is_saved_resumed_and_fine_tuned(tmp_path) -> None:
    model = prerec(priors=RANDOM).fit([A, B], progress_folder=tmp_path / "p")
    again = prerec(priors=RANDOM).fit([A, B], progress_folder=tmp_path / "p", resume=True)
    assert set(model.sources.nodes) == {"D", "S", "V_decentered", "W_z", *SITES, *STORES}
    for name, value in model.sources.nodes.items():
        assert torch.equal(again.sources.nodes[name], value), name
    shaken(model)
    for name in SITES:
        model.sources.nodes[name].abs_()
    model.save(tmp_path / "m")
    loaded = PreRec.load(tmp_path / "m")
    assert loaded.priors == RANDOM
    assert loaded.recommend(NEW).equals(model.recommend(NEW))
    tuned = loaded.fine_tune(NEW, training=training(epochs=0))
    for name in SITES:
        torch.testing.assert_close(tuned.sources.nodes[name], model.sources.nodes[name])
    assert torch.equal(tuned.sources.nodes["D"], torch.zeros(1, DIM))


def test_serving_draws_no_random_number() -> None:
    model = prerec(priors=RANDOM).fit([A])
    for domain in (A, NEW):
        torch.manual_seed(1)
        first = model.recommend(domain)
        torch.manual_seed(2)
        state = torch.get_rng_state()
        assert model.recommend(domain).equals(first)
        assert torch.equal(torch.get_rng_state(), state)


def test_a_random_scale_of_a_node_that_is_not_free_is_of_no_consequence() -> None:
    model = prerec(priors=dataclasses.replace(PRIORS, D=Horseshoe(HalfCauchy(0.5))), free=("V",)).fit([A])
    assert set(model.sources.nodes) == {"S", "V_decentered"}
    plain = prerec(free=("V",)).fit([A])
    assert plain.history == model.history


def test_zero_shot_stands_at_the_mean_of_a_mixture() -> None:
    model = prerec(priors=dataclasses.replace(PRIORS, D=GaussianMixture((0.25, 0.75), (-1.0, 2.0), (0.1, 0.1)))).fit(
        [A]
    )
    shaken(model)
    mean = torch.full((DIM,), -0.25 + 1.5)
    assert model.recommend(NEW).equals(model.recommend(NEW, do={"D": mean}))
    assert not model.recommend(NEW).equals(model.recommend(NEW, do={"D": 0}))


def test_a_free_V_needs_a_location_and_a_scale() -> None:
    def prior(loc: torch.Tensor) -> pyro.distributions.TorchDistribution:
        return pyro.distributions.MultivariateNormal(loc, torch.eye(loc.shape[-1]))

    priors = dataclasses.replace(PRIORS, V=prior)
    with pytest.raises(InputError, match=r"MultivariateNormal has no location and scale.*leave V out of the free"):
        prerec(priors=priors)
    assert len(prerec(priors=priors, free=("D",)).fit([A]).recommend(NEW)) > 0

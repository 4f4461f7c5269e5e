"""W_d and W_z as random variables: what their MAP is, that it is kept, and that it is what serves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import scipy
import torch
from pyro.infer import Trace_ELBO
from pyro.poutine import condition
from pyro.poutine.messenger import Messenger
from sklearn.linear_model import Ridge
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration.hyperprior import fit_hyperprior
from prerec_pyro.inference.guides.free_nodes import check_free
from prerec_pyro.inference.guides.map_guide import NonCenteredModel, map_guide, trained_nodes
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.likelihoods.softmax import Softmax
from prerec_pyro.models.priors import Laplace, Normal, Priors
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training.objective import map_trainer, optimizers
from tests.support.batches import effects
from tests.support.graphs import as_double
from tests.support.models import (
    DIM,
    PRIORS,
    TEXT_DIM,
    PlainGraph,
    graph_config,
    prerec,
    shaken,
    small_domain,
    small_encoded,
    small_graph,
    small_sources,
    training,
)

SCALE, NOISE = 0.4, 0.8
LIFTED = Priors(**(vars(PRIORS) | {"W_d": Normal(0.3), "W_z": Normal(SCALE)}))
A, B = small_domain("a", seed=1), small_domain("b", num_items=9, num_users=12, seed=2)
NEW = small_domain("new", num_items=10, seed=3)


class LinearSoftmax(Softmax):
    """The softmax, which keeps its logits of the last run as they were before."""

    def logits(self, *parents: Any) -> Tensor:
        self.last = super().logits(*parents)
        return self.last


class LinearGraph(PlainGraph):
    """One softmax, with logits linear in W_z; D·W_d is added to all of them."""

    def make_likelihood(self) -> LinearSoftmax:
        return LinearSoftmax()

    @property
    def last_logits(self) -> Tensor:
        return self.likelihood.last


class Measured(Messenger):
    """R as a measurement of the target's logit, with Gaussian noise: the linear model of which ridge is the MAP."""

    def __init__(self, graph: LinearGraph, measurements: Tensor) -> None:
        super().__init__()
        self.graph, self.measurements = graph, measurements

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["name"] == "R":
            mean = self.graph.last_logits.gather(-1, msg["value"][:, None]).squeeze(-1)  # (num_queries,)
            msg["fn"], msg["value"] = dist.Normal(mean, NOISE), self.measurements


def catalogue(encoded: EncodedDomain, domain: int = 0) -> Batch:
    batch, _ = next(query_batches(encoded, np.arange(encoded.domain.num_users), domain=domain))
    return dataclasses.replace(batch, num_domain_queries=batch.num_queries)


def minimise(loss: Callable[[], Tensor], parameters: Iterable[Tensor]) -> None:
    """Follow the gradient to its end."""
    optimizer = torch.optim.LBFGS(parameters, max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)


@pytest.mark.parametrize("sizes", [(20,), (20, 20), (30, 5)])
def test_under_a_normal_prior_the_map_of_a_linear_model_is_ridge(sizes: tuple[int, ...]) -> None:
    """The prior counts once against the sum over all queries, which are weighed so that domains count alike."""
    torch.manual_seed(0)
    graph = LinearGraph(graph_config(LinearGraph), num_domains=len(sizes), text_dim=TEXT_DIM, priors=LIFTED).double()
    graph.f_pop.linear.weight.data.abs_()  # else some coordinates of Z are 0 everywhere
    program = NonCenteredModel(graph, ())
    guide = map_guide(program, 1, ())
    batches = [as_double(catalogue(small_encoded(num_users=n, seed=k), k)) for k, n in enumerate(sizes)]
    features, rest, measured, elbos = [], [], [], []
    for batch in batches:
        with torch.no_grad():
            condition(program, data={"W_z": torch.zeros(DIM).double()})(batch)
            query = torch.arange(batch.num_queries)
            Z = graph.f_pop(batch.factors)[batch.candidate_level[batch.slot, batch.targets]]  # (num_queries, B)
            others = graph.last_logits[query, batch.targets]
        features.append(Z.numpy())
        rest.append(others.numpy())
        measured.append(others + Z @ torch.linspace(-1, 1, DIM).double() + NOISE * torch.randn(len(Z)))
        elbos.append(Trace_ELBO()(Measured(graph, measured[-1])(program), guide))
        elbos[-1](batch)

    minimise(lambda: sum(elbo(batch) for elbo, batch in zip(elbos, batches, strict=True)), guide.parameters())

    num_queries = np.array([batch.num_queries for batch in batches])
    of_domain = 1 / num_queries
    worth = of_domain.repeat(num_queries).sum() ** 2 / (of_domain.repeat(num_queries) ** 2).sum()  # Kish
    assert worth == pytest.approx(len(sizes) * scipy.stats.hmean(num_queries))
    assert worth == pytest.approx(num_queries.sum()) or len(sizes) > 1
    alpha = NOISE**2 / SCALE**2 * len(sizes) / worth
    left = np.concatenate(measured) - np.concatenate(rest)
    ridge, twice = (
        Ridge(a, fit_intercept=False).fit(np.concatenate(features), left, of_domain.repeat(num_queries)).coef_
        for a in (alpha, 2 * alpha)
    )
    found = trained_nodes(guide)
    assert np.abs(ridge - twice).max() > 0.01, "the prior matters here"
    np.testing.assert_allclose(found["W_z"], ridge, atol=1e-4)
    np.testing.assert_allclose(found["W_d"], 0.0, atol=1e-4)  # D stands at 0: nothing is said of W_d


def test_of_the_choice_itself_the_map_is_that_of_a_multinomial_logistic_regression() -> None:
    graph = small_graph(1, graph=PlainGraph, priors=LIFTED)
    program = NonCenteredModel(graph, ())
    guide = map_guide(program, 1, ())
    batch = catalogue(small_encoded(num_users=30))
    elbo = Trace_ELBO()(program, guide)
    elbo(batch)
    minimise(lambda: elbo(batch), guide.parameters())

    with torch.no_grad():
        text = graph.f_e(batch.texts)
        Z = graph.f_pop(batch.factors)[batch.candidate_level][batch.slot].double().numpy()  # (queries, items, B)
        match = graph.f_seq(torch.zeros(DIM), text[batch.history], batch.positions) @ text.T

    def negative(w: np.ndarray) -> float:
        logits = match.double().numpy() + Z @ w
        chosen = logits[np.arange(len(Z)), batch.targets] - scipy.special.logsumexp(logits, axis=1)
        return -chosen.sum() + (w**2).sum() / (2 * SCALE**2)

    expected = scipy.optimize.minimize(negative, np.zeros(DIM), method="BFGS", options={"gtol": 1e-8}).x
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(trained_nodes(guide)["W_z"], expected, atol=1e-3)


def test_the_guide_starts_the_weights_where_it_is_told() -> None:
    graph = small_graph(priors=LIFTED)
    program, (source, _) = NonCenteredModel(graph, ("D", "V", "S")), small_sources(*map(small_encoded, "ab"))
    start = {"W_z": torch.arange(4.0)}
    guide = map_guide(program, 24, ("D", "V", "S"), start)
    trainer = map_trainer(program, guide, small_sources(small_encoded()), training())
    found = trained_nodes(guide)
    assert torch.equal(found["W_z"], start["W_z"])
    assert torch.equal(found["W_d"], torch.zeros(DIM))
    assert set(found) == {"D", "S", "V_decentered", "W_d", "W_z"}
    trainer.step(source.first_batch(training()))
    assert not torch.equal(trained_nodes(guide)["W_z"], start["W_z"])
    assert torch.equal(start["W_z"], torch.arange(4.0)), "what it was told is left as it is"


def test_the_weights_move_at_the_rate_of_popularity() -> None:
    graph = small_graph(priors=LIFTED)
    program = NonCenteredModel(graph, ("D", "S"))
    guide = map_guide(program, 12, ("D", "S"))
    guide(small_sources(small_encoded())[0].first_batch(training()))
    rates = {"popularity_rate": 0.1, "domain_rate": 0.2, "effect_scale_rate": 0.3}
    (dense,) = optimizers(program, guide, training(**rates))
    rate = {id(p): group["lr"] for group in dense.param_groups for p in group["params"]}
    (part,) = guide
    found = {name.split("_unc")[0]: rate[id(p)] for name, p in part.named_parameters()}
    assert found == {"W_d": 0.1, "W_z": 0.1, "D": 0.2, "S": 0.3}


def test_the_reported_loss_is_above_that_of_all_nodes_at_their_means() -> None:
    """At the start, all nodes at 0, only the fit is left of it, whatever the scales are."""
    losses = []
    for priors in (LIFTED, dataclasses.replace(LIFTED, W_z=Laplace(1e-3), W_d=Normal(7.0))):
        graph = small_graph(1, priors=priors)
        program = NonCenteredModel(graph, ("D", "V"))
        trainer = map_trainer(program, map_guide(program, 12), small_sources(small_encoded()), training())
        batch = trainer.sources[0].first_batch(training())
        losses.append(float(trainer.objective(batch).detach()) + trainer.peaks[0])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def fitted(**changes: Any) -> PreRec:
    return prerec(**({"priors": LIFTED} | changes)).fit([A, B])


def test_a_lifted_model_serves_what_the_same_weights_as_parameters_serve() -> None:
    model = shaken(fitted(free=("D", "V", "S")))
    plain = small_graph(2, graph="extended")
    weights = {name: model.sources.nodes[name] for name in ("W_d", "W_z")}
    plain.load_state_dict(model.graph.state_dict() | weights)
    assert set(plain.state_dict()) - set(model.graph.state_dict()) == {"W_d", "W_z"}
    for domain in (A, NEW):
        encoded = model.encode(domain).whitened(model.whitening)
        batch = catalogue(encoded)
        scorer = model.scorer(model.encode(domain))
        row = model.sources.row(domain)
        trained = None if row is None else model.sources.nodes_of(domain, row)
        same = InterventionalScorer(
            plain.eval(),
            encoded,
            Intervention({}),
            trained=trained,
            domain=row or 0,
            calibration=model.predicted(model.encode(domain)),
        )
        torch.testing.assert_close(scorer(batch), same(batch))
        torch.testing.assert_close(effects(scorer, batch)[1], effects(same, batch)[1])
        assert effects(scorer, batch)[1].abs().max() > 0.1


def test_the_mean_of_S_moves_into_a_lifted_weight_as_into_a_parameter() -> None:
    plain = shaken(prerec(priors=PRIORS).fit([A, B]))
    W_z = torch.arange(1.0, 5.0)
    S = torch.tensor([[0.5, -1.0, 2.0, 0.3, 0.2, -0.1], [1.5, 0.5, -0.4, 0.1, 0.0, 0.4]])
    plain.graph.W_z.data.copy_(W_z)
    lifted = small_graph(2, priors=LIFTED, graph="extended")
    lifted.load_state_dict(plain.graph.state_dict(), strict=False)
    nodes = {"W_z": W_z.clone(), "W_d": torch.zeros(DIM)}
    fit_hyperprior(plain.graph, S, plain.sources.weights(plain.graph).W_z)
    fit_hyperprior(lifted, S, TrainedDomains(nodes=nodes).weights(lifted).W_z)
    assert torch.equal(nodes["W_z"], plain.graph.W_z)
    assert not torch.equal(nodes["W_z"], W_z)


def test_a_model_with_lifted_weights_is_saved_fine_tuned_and_resumed(tmp_path) -> None:
    model = shaken(fitted())
    model.save(tmp_path / "m")
    again = PreRec.load(tmp_path / "m")
    assert again.priors == LIFTED
    assert again.free == {"D", "V", "W_d", "W_z"}
    for name in ("W_d", "W_z"):
        assert torch.equal(again.sources.nodes[name], model.sources.nodes[name])
    assert again.recommend(NEW).equals(model.recommend(NEW))

    before = {name: model.sources.nodes[name].clone() for name in ("W_d", "W_z")}
    start = model.fine_tune(NEW, training=training(epochs=0))
    ratio = start.sources.nodes["W_z"] / before["W_z"]
    torch.testing.assert_close(ratio, ratio[:1].expand(DIM))  # S of the target is part of it
    assert torch.equal(start.sources.nodes["W_d"], before["W_d"])
    tuned = model.fine_tune(NEW, training=training(epochs=2), progress_folder=tmp_path / "p")
    resumed = again.fine_tune(NEW, training=training(epochs=2), progress_folder=tmp_path / "p", resume=True)
    assert torch.equal(tuned.sources.nodes["W_z"], resumed.sources.nodes["W_z"])
    for name, value in before.items():
        assert torch.equal(model.sources.nodes[name], value), "fine-tuning leaves the model as it is"


def test_a_narrow_prior_holds_the_weights_at_zero_and_a_wide_one_lets_them_go() -> None:
    norms = []
    for scale in (1e-3, 0.3, 10.0):
        graph = small_graph(1, priors=dataclasses.replace(LIFTED, W_z=Normal(scale)))
        program = NonCenteredModel(graph, ())
        guide = map_guide(program, 12, ())
        map_trainer(program, guide, small_sources(small_encoded()), training(epochs=10, popularity_rate=0.03)).fit()
        norms.append(float(trained_nodes(guide)["W_z"].norm()))
    assert 10 * norms[0] < norms[1] < norms[2]


@pytest.mark.parametrize("node", ["W_d", "W_z", "D", "Z", "S"])
def test_without_confounders_there_is_nothing_to_lift(node: str) -> None:
    with pytest.raises(InputError, match=f"prior of {node}: the graph unconfounded has no {node}; leave the prior out"):
        PreRec("unconfounded", priors=dataclasses.replace(Priors(), **{node: Normal(0.3)}))


def test_what_means_nothing_is_refused() -> None:
    assert check_free(["D"], ExtendedGraph, ["W_z"]) == {"D", "W_z"}
    with pytest.raises(InputError, match=r"W_z is a parameter.*give it a prior, as in Priors\(W_z=Normal\(1.0\)\)"):
        check_free(["W_z"], ExtendedGraph, ["W_d"])
    graph = small_graph(priors=LIFTED)
    with pytest.raises(InputError, match="W_d is a random variable and has no MAP yet"):
        InterventionalScorer(graph, small_encoded(), Intervention({}))

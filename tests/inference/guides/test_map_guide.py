"""The MAP guide: what moves, what does not, and that the loss is eq. 4."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.reparam import LocScaleReparam
from pyro.poutine.util import site_is_subsample

from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.errors import InputError
from prerec_pyro.inference.guides.free_nodes import check_free
from prerec_pyro.inference.guides.map_guide import ItemOffsets, NonCenteredModel, item_rows, map_guide, trained_nodes
from prerec_pyro.models.priors import LogNormal, Normal
from prerec_pyro.training.trainer import optimizers
from tests.support.models import (
    DIM,
    PRIORS,
    met,
    num_rows,
    program_and_guide,
    small_encoded,
    small_graph,
    small_sources,
    training,
)

SCALE_D, SCALE_V = PRIORS.D.scale, PRIORS.V.scale


@pytest.fixture
def sources():
    return small_sources(small_encoded("a", seed=1), small_encoded("b", num_items=9, num_users=12, seed=2))


def batches(sources, source: int = 1, **changes) -> list[Batch]:
    return list(sources[source].batches(training(**changes), 1))


def drawn(guide) -> None:
    """Give the free nodes values that are not zero."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.copy_(torch.randn_like(parameter))


def offsets_of(guide) -> ItemOffsets:
    return next(part for part in guide if isinstance(part, ItemOffsets))


@pytest.mark.parametrize("popularity_to_item", [False, True])
def test_a_step_moves_the_rows_that_the_batch_names_and_no_other(sources, popularity_to_item):
    graph = small_graph(popularity_to_item=popularity_to_item)
    program, guide = program_and_guide(graph, sources, ("D", "V", "S"))
    elbo = Trace_ELBO()(program, guide)
    batch = batches(sources, batch_tokens=6, num_negatives=2)[0]
    elbo(batch)
    drawn(guide)
    dense, sparse = optimizers(program, guide, training())
    assert isinstance(sparse, torch.optim.SparseAdam)
    before = offsets_of(guide).table.weight.detach().clone()

    elbo(batch).backward()
    gradient = offsets_of(guide).table.weight.grad
    assert gradient.is_sparse
    dense.step()
    sparse.step()

    after = offsets_of(guide).table.weight.detach()
    moved = (after != before).any(dim=1).nonzero()[:, 0]
    # Rows of history alone have no V in the loss: they are looked up, their gradient is 0.
    scored = set(batch.item_rows[batch.targets].tolist()) | set(batch.item_rows[batch.negatives].tolist())
    assert set(moved.tolist()) == scored
    assert len(scored) < num_rows(sources)
    assert set(gradient.coalesce().indices()[0].tolist()) <= set(batch.item_rows.tolist())
    assert min(moved) >= sources[0].encoded.num_items, "the batch is of the second domain"


@pytest.mark.parametrize("popularity_to_item", [False, True])
@pytest.mark.parametrize("free", [(), ("D",), ("V",), ("S",), ("D", "V"), ("D", "V", "S")])
@pytest.mark.parametrize("confounders", [True, False])
def test_the_guide_has_a_value_for_each_free_node(sources, free, confounders, popularity_to_item):
    graph = small_graph(confounders=confounders, popularity_to_item=popularity_to_item)
    program, guide = program_and_guide(graph, sources, free)
    elbo = Trace_ELBO()(program, guide)
    for batch in batches(sources, 0) + batches(sources, 1):  # of any size, of either domain
        assert torch.isfinite(elbo(batch))
    nodes = trained_nodes(guide)
    expected = {node for node in "DS" if node in free and confounders} | ({"V_decentered"} if "V" in free else set())
    assert set(nodes) == expected
    if "D" in expected:
        assert nodes["D"].shape == (2, DIM)
    if "S" in expected:
        assert nodes["S"].shape == (2, 4)
    if "V" in free:
        assert nodes["V_decentered"].shape == (num_rows(sources), DIM)
    assert all((value == 0).all() for value in nodes.values()), "free nodes start at their prior mean"


def plates_of(guide, batch) -> set[str]:
    return {name for name, site in pyro.poutine.trace(guide).get_trace(batch).nodes.items() if site_is_subsample(site)}


@pytest.mark.parametrize("popularity_to_item", [False, True])
def test_points_have_plates_where_shapes_are_checked_and_the_same_values_without(sources, popularity_to_item):
    graph = small_graph(popularity_to_item=popularity_to_item)
    _, guide = program_and_guide(graph, sources, ("D", "V", "S"))
    batch = batches(sources)[0]
    guide(batch)
    drawn(guide)
    with pyro.validation_enabled(True):
        checked, plates = guide(batch), plates_of(guide, batch)
    with pyro.validation_enabled(False):
        quick = guide(batch)
        assert plates_of(guide, batch) == set()
    assert plates == {"items", "domains"}
    assert checked.keys() == quick.keys() == {"D", "S", "V_decentered"}
    assert all(torch.equal(checked[name], quick[name]) for name in checked)


def test_a_gaussian_has_its_plates_always(sources):
    random = dataclasses.replace(PRIORS, D=Normal(LogNormal(0.5, 1.0)))
    _, guide = program_and_guide(small_graph(priors=random), sources)
    batch = batches(sources)[0]
    guide(batch)
    with pyro.validation_enabled(False):
        assert plates_of(guide, batch) == {"items", "domains"}


def test_with_the_edge_from_popularity_an_item_has_one_offset_for_all_its_slots(sources):
    graph = small_graph(popularity_to_item=True)
    _, guide = program_and_guide(graph, sources)
    batch = batches(sources)[0]
    assert len(batch.candidate_level) > 1, "the test needs several slots"
    guide(batch)
    drawn(guide)
    row, _ = graph.item_slots(batch)
    assert torch.equal(item_rows(batch, True), batch.item_rows[row])
    value = guide(batch)["V_decentered"]
    assert torch.equal(value, offsets_of(guide).table.weight[batch.item_rows[row]])


@pytest.mark.parametrize("changes", [{}, {"popularity_to_item": True}, {"confounders": False}])
def test_standing_at_the_prior_mean_is_conditioning_the_noise_at_zero(sources, changes):
    """AtPriorMean and LocScaleReparam(0) with the decentred site at 0 give the same gradient."""
    graph = small_graph(**changes)
    batch = batches(sources)[0]
    nodes = ("Z", "V", "U", "S") if graph.config.confounders else ("V", "U")
    D = 0.4 * torch.randn(2, DIM)

    def gradients(program, data) -> dict[str, torch.Tensor]:
        graph.zero_grad()
        conditioned = pyro.poutine.condition(program, data=data)
        pyro.poutine.trace(conditioned).get_trace(batch).log_prob_sum().backward()
        return {name: p.grad.clone() for name, p in graph.named_parameters() if p.grad is not None}

    ours = gradients(NonCenteredModel(graph, {"D"}), {"D": D})
    config = {node: LocScaleReparam(0.0) for node in nodes}
    levels = len(batch.factors)
    rows = len(graph.item_slots(batch)[0]) if changes.get("popularity_to_item") else len(batch.items)
    zeros = {"Z": levels, "V": rows, "U": batch.num_queries}
    data = {f"{node}_decentered": torch.zeros(zeros[node], DIM) for node in zeros if node in nodes}
    data |= {"D": D, "S_decentered": torch.zeros(2, 4)}
    theirs = gradients(pyro.poutine.reparam(graph, config=config), data)

    assert ours.keys() == theirs.keys()
    assert {name.split(".")[0] for name in ours} >= {"f_e", "f_seq"}
    for name, gradient in ours.items():
        assert torch.allclose(gradient, theirs[name], atol=1e-6), name


@pytest.mark.parametrize("changes", [{}, {"popularity_to_item": True}, {"confounders": False}, {"repeats": False}])
def test_the_loss_is_eq_4(sources, changes):
    graph = small_graph(**changes)
    program, guide = program_and_guide(graph, sources, ("D", "V", "S"))
    elbo = Trace_ELBO()(program, guide)
    batch = batches(sources)[0]
    elbo(batch)
    drawn(guide)
    nodes = trained_nodes(guide)
    with torch.no_grad():
        assert float(elbo(batch)) == pytest.approx(eq_4(graph, batch, nodes), abs=1e-5)


def eq_4(graph, batch: Batch, nodes: dict[str, torch.Tensor]) -> float:
    """-mean log softmax + (priors of D_k and of the domain's items) / N, with loops and torch alone."""
    text = batch.texts @ graph.f_e.linear.weight.T
    offset = nodes["V_decentered"][batch.item_rows]
    D = nodes["D"][batch.domain] if "D" in nodes else None
    V = text + SCALE_V * offset + (0 if D is None else graph.f_item.from_domain.weight @ D)
    U = graph.f_seq(D, (V if graph.reads_items else text)[batch.history], batch.positions)
    Z = None if D is None else torch.relu(graph.f_pop.linear(batch.factors.log1p()))
    repeated = (graph.w_h if graph.config.repeats else 0.0) * met(batch)
    S = nodes["S"][batch.domain] * graph.spread if "S" in nodes else torch.zeros(4)
    repeated = repeated + graph.config.repeats * S[2] * met(batch)
    fit = 0.0
    for query in range(batch.num_queries):
        target, slot = int(batch.targets[query]), int(batch.slot[query])
        candidates = [(target, None if Z is None else batch.target_level[query])]
        for number, row in enumerate(batch.negatives.tolist()):
            if row != target:
                candidates.append((row, batch.candidate_level[slot, number]))
        logits = []
        for row, level in candidates:
            item = V[row]
            if graph.f_item.from_popularity is not None:
                item = item + graph.f_item.from_popularity(Z[level])
            effect = 0.0 if Z is None else Z[level] @ graph.W_z
            logits.append(S[0].exp() * U[query] @ item + S[1].exp() * effect + repeated[query, row])
        fit += float(torch.stack(logits).log_softmax(0)[0])
    log_priors = torch.distributions.Normal(0.0, 1.0).log_prob(offset).sum(1) @ batch.prior_weight
    if D is not None:
        log_priors = log_priors + torch.distributions.Normal(0.0, SCALE_D).log_prob(D).sum()
    if "S" in nodes:
        log_priors = log_priors + torch.distributions.Normal(0.0, 1.0).log_prob(nodes["S"][batch.domain]).sum()
    return -fit / batch.num_queries - float(log_priors) / batch.num_domain_queries


def test_the_map_of_the_offsets_solves_its_normal_equation():
    """Ridge: at the maximum of Σ log softmax - |v|² / 2λ, v = λ Σ_q (1[target] - p_q) U_q, exactly."""
    graph = small_graph(1, wandering=False, repeats=False, item_to_user=False)
    encoded = small_encoded(num_items=6, num_users=8)
    batch, _ = next(query_batches(encoded, np.arange(encoded.domain.num_users)))
    program = NonCenteredModel(graph, ("V",))
    guide = map_guide(program, 6, ("V",))
    elbo = Trace_ELBO()(program, guide)
    elbo(batch)
    table = offsets_of(guide).table.weight
    optimizer = torch.optim.SGD([table], lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        (elbo(batch) * batch.num_queries / 4).backward()
        optimizer.step()

    with torch.no_grad():
        text = graph.f_e(batch.texts)
        U = graph.f_seq(torch.zeros(DIM), text[batch.history], batch.positions)
        V = text + SCALE_V * table
        effect = (graph.f_pop(batch.factors) @ graph.W_z)[batch.candidate_level][batch.slot]
        wrong = torch.nn.functional.one_hot(batch.targets, 6) - (U @ V.T + effect).softmax(1)
    assert table.abs().max() > 0.05
    assert torch.allclose(SCALE_V * table, SCALE_V**2 * wrong.T @ U, atol=1e-4)


@pytest.mark.parametrize(
    ("free", "message"),
    [({"Q"}, "unknown Q"), ({"U"}, "U cannot be free"), ({"D", "Z"}, "Z cannot be free"), ("DU", "U cannot be free")],
)
def test_free_nodes_are_checked(free, message):
    with pytest.raises(InputError, match=message):
        check_free(free)


def test_free_nodes_that_can_be_free():
    assert check_free(["D", "V"]) == {"D", "V"}
    assert check_free([]) == frozenset()

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
from prerec_pyro.models.graphs.registry import GRAPHS, Graph, graph_name
from prerec_pyro.models.priors import LogNormal, Normal
from prerec_pyro.training.objective import optimizers
from tests.support.models import (
    DIM,
    EVERY_GRAPH,
    PRIORS,
    PlainGraph,
    num_rows,
    program_and_guide,
    seen_matrix,
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


def free_nodes(graph: Graph) -> tuple[str, ...]:
    """All that can be free of the nodes that the graph has."""
    return tuple(node for node in ("D", "V", "S") if node in graph.edges)


def offsets_of(guide) -> ItemOffsets:
    return next(part for part in guide if isinstance(part, ItemOffsets))


@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
def test_a_step_moves_the_rows_that_the_batch_names_and_no_other(sources, kind):
    graph = small_graph(graph=kind)
    program, guide = program_and_guide(graph, sources, free_nodes(graph))
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


@pytest.mark.parametrize("free", [(), ("D",), ("V",), ("S",), ("D", "V"), ("D", "V", "S")])
@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
def test_the_guide_has_a_value_for_each_free_node(sources, free, kind):
    graph = small_graph(graph=kind)
    if missing := sorted(set(free) - set(graph.edges)):
        with pytest.raises(InputError, match=f"graph {graph_name(kind)} has no node {', '.join(missing)}"):
            check_free(free, kind)
        return
    program, guide = program_and_guide(graph, sources, free)
    elbo = Trace_ELBO()(program, guide)
    for batch in batches(sources, 0) + batches(sources, 1):  # of any size, of either domain
        assert torch.isfinite(elbo(batch))
    nodes = trained_nodes(guide)
    expected = {node for node in "DS" if node in free} | ({"V_decentered"} if "V" in free else set())
    assert set(nodes) == expected
    if "D" in expected:
        assert nodes["D"].shape == (2, DIM)
    if "S" in expected:
        assert nodes["S"].shape == (2, 6)
    if "V" in free:
        assert nodes["V_decentered"].shape == (num_rows(sources), DIM)
    assert all((value == 0).all() for value in nodes.values()), "free nodes start at their prior mean"


def plates_of(guide, batch) -> set[str]:
    return {name for name, site in pyro.poutine.trace(guide).get_trace(batch).nodes.items() if site_is_subsample(site)}


@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
def test_points_have_plates_where_shapes_are_checked_and_the_same_values_without(sources, kind):
    graph = small_graph(graph=kind)
    _, guide = program_and_guide(graph, sources, free_nodes(graph))
    batch = batches(sources)[0]
    guide(batch)
    drawn(guide)
    with pyro.validation_enabled(True):
        checked, plates = guide(batch), plates_of(guide, batch)
    with pyro.validation_enabled(False):
        quick = guide(batch)
        assert plates_of(guide, batch) == set()
    assert plates == ({"items", "domains"} if "D" in graph.edges else {"items"})
    assert checked.keys() == quick.keys() == {"V_decentered"} | {"D", "S"} & set(graph.edges)
    assert all(torch.equal(checked[name], quick[name]) for name in checked)


def test_a_gaussian_has_its_plates_always(sources):
    random = dataclasses.replace(PRIORS, D=Normal(LogNormal(0.5, 1.0)))
    _, guide = program_and_guide(small_graph(priors=random), sources)
    batch = batches(sources)[0]
    guide(batch)
    with pyro.validation_enabled(False):
        assert plates_of(guide, batch) == {"items", "domains"}


def test_with_the_edge_from_popularity_an_item_has_one_offset_for_all_its_slots(sources):
    graph = small_graph(graph="paper")
    _, guide = program_and_guide(graph, sources)
    batch = batches(sources)[0]
    assert len(batch.candidate_level) > 1, "the test needs several slots"
    guide(batch)
    drawn(guide)
    row = graph.layout.index(batch)
    assert torch.equal(item_rows(batch, graph.layout), batch.item_rows[row])
    value = guide(batch)["V_decentered"]
    assert torch.equal(value, offsets_of(guide).table.weight[batch.item_rows[row]])


@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
def test_a_point_at_the_prior_mean_is_conditioning_the_noise_at_zero(sources, kind):
    """PriorMeanReparam and LocScaleReparam(0) with the non-centred site at 0 give the same gradient."""
    graph = small_graph(graph=kind)
    batch = batches(sources)[0]
    nodes = [node for node in "ZVUS" if node in graph.edges]
    D = 0.4 * torch.randn(2, DIM)

    def gradients(program, data) -> dict[str, torch.Tensor]:
        graph.zero_grad()
        conditioned = pyro.poutine.condition(program, data=data)
        pyro.poutine.trace(conditioned).get_trace(batch).log_prob_sum().backward()
        return {name: p.grad.clone() for name, p in graph.named_parameters() if p.grad is not None}

    given = {"D": D} if "D" in graph.edges else {}
    ours = gradients(NonCenteredModel(graph, set(given)), given)
    config = {node: LocScaleReparam(0.0) for node in nodes}
    levels = len((batch if graph.num_windows > 1 else batch.without_other_windows()).factors)
    rows = len(item_rows(batch, graph.layout))
    zeros = {"Z": (levels, DIM), "V": (rows, DIM), "U": (batch.num_queries, DIM), "S": (2, 6)}
    data = given | {f"{node}_decentered": torch.zeros(zeros[node]) for node in nodes}
    theirs = gradients(pyro.poutine.reparam(graph, config=config), data)

    assert ours.keys() == theirs.keys()
    assert {name.split(".")[0] for name in ours} >= {"f_e", "f_seq"}
    for name, gradient in ours.items():
        assert torch.allclose(gradient, theirs[name], atol=1e-6), name


@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
def test_the_loss_is_eq_4(sources, kind):
    graph = small_graph(graph=kind)
    program, guide = program_and_guide(graph, sources, free_nodes(graph))
    elbo = Trace_ELBO()(program, guide)
    batch = batches(sources)[0]
    elbo(batch)
    drawn(guide)
    nodes = trained_nodes(guide)
    with torch.no_grad():
        assert float(elbo(batch)) == pytest.approx(eq_4(graph, batch, nodes), abs=1e-5)


def eq_4(graph, batch: Batch, nodes: dict[str, torch.Tensor]) -> float:
    """-mean log softmax + (priors of D_k and of the domain's items) / N, with loops and torch alone."""
    batch = batch if graph.num_windows > 1 else batch.without_other_windows()
    text = batch.texts @ graph.f_e.linear.weight.T
    offset = nodes["V_decentered"][batch.item_rows]
    D = nodes["D"][batch.domain] if "D" in nodes else None
    V = text + SCALE_V * offset + (graph.f_item.from_domain.weight @ D if "D" in graph.edges["V"] else 0)
    S = nodes["S"][batch.domain] * graph.likelihood.spread if "S" in nodes else torch.zeros(6)
    many, start = getattr(graph, "interests", None), None
    if many is not None:
        last = [V[rows] for rows in rows_read(batch, many.most)]
        weights = [(-(many.log_fading + S[4]).exp() * torch.arange(len(own)).flip(0)).softmax(0) for own in last]
        contrast = (many.log_contrast + S[5]).exp()
        start = torch.stack([weight @ own for weight, own in zip(weights, last, strict=True)])
    U = graph.f_seq(D, (V if "V" in graph.edges["U"] else text)[batch.history], batch.positions, start)
    if many is not None:
        growth = torch.stack([(len(own) / torch.tensor(4.0)) ** many.growth for own in last])
        U = U * growth[:, None]
    effects = None if D is None else effects_of(graph, batch)
    Z = None if D is None else torch.relu(graph.f_pop.linear(batch.factors.log1p()))  # in the domain's own window
    repeated = (graph.likelihood.w_h + S[2] if "S" in nodes else 0.0) * seen_matrix(batch)
    fit = 0.0
    for query in range(batch.num_queries):
        target, slot = int(batch.targets[query]), int(batch.slot[query])
        own_effect = 0.0 if effects is None else batch.target_effects(effects)[query]
        candidates = [(target, own_effect, None if Z is None else batch.target_level[query])]
        for number, row in enumerate(batch.negatives.tolist()):
            if row != target:
                effect = 0.0 if effects is None else batch.item_effects(effects)[slot, number]
                candidates.append((row, effect, batch.candidate_level[slot, number]))
        logits = []
        for row, effect, level in candidates:
            item = V[row]
            if "Z" in graph.edges["V"]:
                item = item + graph.f_item.from_popularity(Z[level])
            match = U[query] @ item
            if many is not None:
                near, weight = last[query] @ item, weights[query]
                pooled = (weight.log() + contrast * near).logsumexp(0) / contrast
                match = match + graph.f_seq.log_length.exp() * growth[query] * (pooled - weight @ near)
            logits.append(S[0].exp() * match + S[1].exp() * effect + repeated[query, row])
        fit += float(torch.stack(logits).log_softmax(0)[0])
    log_priors = torch.distributions.Normal(0.0, 1.0).log_prob(offset).sum(1) @ batch.prior_weight
    if D is not None:
        log_priors = log_priors + torch.distributions.Normal(0.0, SCALE_D).log_prob(D).sum()
    if "S" in nodes:
        log_priors = log_priors + torch.distributions.Normal(0.0, 1.0).log_prob(nodes["S"][batch.domain]).sum()
    return -fit / batch.num_queries - float(log_priors) / batch.num_domain_queries


def rows_read(batch: Batch, most: int) -> list[torch.Tensor]:
    """Return the rows of the last items of each query."""
    length = batch.history.shape[1]
    places = [divmod(position, length) for position in batch.positions.tolist()]
    return [batch.history[sequence, : last + 1][-most:] for sequence, last in places]


def effects_of(graph, batch: Batch) -> torch.Tensor:
    """Return Z·W_z of each level, by the layer of its window."""
    layers = (graph.f_pop.linear, *graph.f_pop.others)
    windows = batch.level_window.tolist()
    Z = [torch.relu(layers[w](row)) for w, row in zip(windows, batch.factors.log1p(), strict=True)]
    return torch.stack(Z) @ graph.W_z


def test_the_map_of_the_offsets_solves_its_normal_equation():
    """Ridge: at the maximum of Σ log softmax - |v|² / 2λ, v = λ Σ_q (1[target] - p_q) U_q, exactly."""
    graph = small_graph(1, graph=PlainGraph)
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
    [
        ({"Q"}, "unknown Q; expected some of D, Z, V, U, S"),
        ({"U"}, "U cannot be free"),
        ({"D", "Z"}, "Z cannot be free"),
        ("DU", "U cannot be free"),
    ],
)
@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
def test_free_nodes_are_checked(free, message, kind):
    with pytest.raises(InputError, match=message):
        check_free(free, kind)


@pytest.mark.parametrize(
    ("graph", "default", "refused", "message"),
    [
        ("extended", "DV", None, None),
        ("paper", "DV", "S", "the graph paper has no node S; free any of D, V$"),
        ("unconfounded", "V", "DS", "the graph unconfounded has no node D, S; free any of V$"),
    ],
)
def test_a_node_that_the_graph_lacks_cannot_be_free(graph, default, refused, message):
    assert check_free(None, GRAPHS[graph]) == set(default)
    assert check_free([], GRAPHS[graph]) == frozenset()
    assert check_free(["V"], GRAPHS[graph]) == {"V"}
    if refused is not None:
        with pytest.raises(InputError, match=message):
            check_free(refused, GRAPHS[graph])

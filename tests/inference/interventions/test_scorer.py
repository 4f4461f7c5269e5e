"""Interventions: eqs. 5 and 6 by hand, what moves under `do`, and the Pyro program itself as the oracle."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pyro
import pytest
import torch

from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.errors import InputError
from prerec_pyro.inference.guides.map_guide import noncentered
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.models.graphs.registry import graph_name
from tests.support.models import (
    DIM,
    EVERY_GRAPH,
    PRIORS,
    EveryPath,
    PlainGraph,
    brute_force_mixture,
    repeats_so_far,
    seen_matrix,
    small_encoded,
    small_graph,
)

ENCODED = small_encoded(num_users=6)
NUM_ITEMS = ENCODED.num_items
NUM_EFFECTS, ROW = 6, 1  # the row of D, of two
CONFOUNDED = [graph for graph in EVERY_GRAPH if "D" in graph.edges]


@pytest.fixture
def batch() -> Batch:
    found = next(query_batches(ENCODED, np.arange(6), domain=ROW))[0]
    assert len(found.candidate_level) > 2, "the tests need several time slots"
    return found


def trained() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return {
        "D": 0.5 * torch.randn(2, DIM),
        "V_decentered": torch.randn(NUM_ITEMS, DIM),
        "S": torch.tensor([[0.0] * NUM_EFFECTS, [-0.6, 0.8, 1.5, -0.7, 0.5, -0.4]]),
    }


def scorer(graph, do=None, *, nodes=None, semantics="interventional", encoded=ENCODED) -> InterventionalScorer:
    intervention = Intervention.check(do, graph, semantics)
    return InterventionalScorer(graph.eval(), encoded, intervention, trained=nodes, domain=0 if nodes is None else ROW)


def weighted(batch: Batch, query: int, fading: torch.Tensor, most: int) -> tuple[list[int], torch.Tensor]:
    """The last items of a query and their weights."""
    row, last = divmod(int(batch.positions[query]), batch.history.shape[1])
    items = batch.history[row, : last + 1].tolist()[-most:]
    weights = (-fading * torch.arange(len(items)).flip(0)).exp()
    return items, weights / weights.sum()


def spread(graph, V: torch.Tensor, items: list[int], weights: torch.Tensor, contrast: torch.Tensor) -> torch.Tensor:
    """log Σ w exp(β V·V_j) / β - Σ w V·V_j."""
    beta, products = (graph.interests.log_contrast + contrast).exp(), V[items] @ V.T
    return (weights @ (beta * products).exp()).log() / beta - weights @ products


def popularity(graph, batch: Batch, slot: int) -> torch.Tensor:
    """Z of all items in a slot: the sum over the windows that the graph counts in."""
    levels = [batch.candidate_level[slot]]
    if graph.num_windows > 1:
        levels += list(batch.window_level[:, slot])
    layers = [graph.f_pop.linear, *getattr(graph.f_pop, "others", [])]
    return sum(torch.relu(layer(batch.factors[own].log1p())) for layer, own in zip(layers, levels, strict=True))


@torch.no_grad()
def by_hand(graph, batch: Batch, *, D=None, Z=None, V=None, U=None, S=None, offset=0.0) -> torch.Tensor:
    """The softmax, or the mixture as S scales its effects; what is not given stands at the mean of its network."""
    chosen, has_S = graph.likelihood, "S" in graph.edges
    strength = S * chosen.spread if has_S and S is not None else torch.zeros(NUM_EFFECTS)
    D = torch.zeros(DIM) if D is None else D
    text = graph.f_e(ENCODED.texts)
    read = text
    if "V" in graph.edges["U"]:
        read = graph.f_item(text, D, None) + PRIORS.V.scale * offset if V is None else V.expand(NUM_ITEMS, DIM)
    interests, start, growth = None, None, torch.ones(batch.num_queries)
    if U is None and getattr(graph, "interests", None) is not None:  # a value for U is all of it
        fading = (graph.interests.log_fading + strength[4]).exp()
        interests = [weighted(batch, query, fading, graph.interests.most) for query in range(batch.num_queries)]
        start = torch.stack([weights @ read[items] for items, weights in interests])
        growth = torch.tensor([len(items) / 4 for items, _ in interests]) ** graph.interests.growth
    if U is None:
        U = growth[:, None] * graph.f_seq(D, read[batch.history], batch.positions, start)
    U = U.expand(batch.num_queries, DIM)
    matches, backgrounds = [], []
    for query in range(batch.num_queries):
        own = popularity(graph, batch, int(batch.slot[query])) if Z is None else Z.expand(NUM_ITEMS, DIM)
        items = graph.f_item(text, D, own) + PRIORS.V.scale * offset if V is None else V.expand(NUM_ITEMS, DIM)
        backgrounds.append(strength[1].exp() * own @ graph.W_z)
        match, length = items @ U[query], graph.f_seq.log_length.exp() * growth[query]
        if interests is not None:
            match = match + length * spread(graph, items, *interests[query], strength[5])
        matches.append(strength[0].exp() * match)
    match, background = torch.stack(matches), torch.stack(backgrounds)
    if not has_S:
        return match + background
    odds = chosen.w_r + strength[2], chosen.w_o + strength[3]
    return brute_force_mixture(match, background, seen_matrix(batch), repeats_so_far(batch), *odds)


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("kind", CONFOUNDED, ids=graph_name)
def test_zero_shot_is_eq_5(batch, kind):
    graph = small_graph(graph=kind)
    assert close(scorer(graph)(batch), by_hand(graph, batch))


def test_the_domain_term_would_cancel(batch):
    """D·W_d is the same for all items: a Monte-Carlo average over D's prior of the softmax is the closed form."""
    graph = small_graph(graph="extended")
    scores = scorer(graph)(batch)
    drawn = [(scores + D @ graph.W_d).softmax(1) for D in PRIORS.D.scale * torch.randn(50, DIM)]
    assert close(torch.stack(drawn).mean(0), scores.softmax(1))


@pytest.mark.parametrize("kind", CONFOUNDED, ids=graph_name)
def test_a_trained_domain_is_eq_6(batch, kind):
    graph, nodes = small_graph(graph=kind), trained()
    expected = by_hand(graph, batch, S=nodes["S"][ROW], D=nodes["D"][ROW], offset=nodes["V_decentered"])
    assert close(scorer(graph, nodes=nodes)(batch), expected)
    assert not close(expected, by_hand(graph, batch))


def test_without_confounders_it_is_a_match_of_user_and_item(batch):
    graph = small_graph(graph="unconfounded")
    with torch.no_grad():
        text = graph.f_e(ENCODED.texts)
        U = graph.f_seq(None, text[batch.history], batch.positions)
        moved = text + PRIORS.V.scale * trained()["V_decentered"]
        for V, nodes in ((text, None), (moved, trained())):
            assert close(scorer(graph, nodes=nodes)(batch), U @ V.T)


VECTOR = torch.linspace(-1, 1, DIM)
ITEMS = torch.linspace(-1, 1, NUM_ITEMS * DIM).view(NUM_ITEMS, DIM)
QUESTIONS = [
    {},
    {"D": 0.0},
    {"D": VECTOR},
    {"Z": 0.0},
    {"Z": VECTOR},
    {"Z": ITEMS},
    {"V": 0.5},
    {"V": ITEMS},
    {"U": VECTOR},
    {"U": 1, "D": 0},
    {"D": VECTOR, "Z": ITEMS, "V": VECTOR},
    {"S": 0},
    {"S": torch.linspace(-1, 1, NUM_EFFECTS), "D": 0},
]


@pytest.mark.parametrize("semantics", ["interventional", "counterfactual"])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("kind", CONFOUNDED, ids=graph_name)
def test_scores_are_those_of_the_pyro_program_under_do(batch, kind, known, semantics):
    graph, nodes = small_graph(graph=kind).eval(), trained() if known else None
    for do in QUESTIONS:
        if missing := sorted(set(do) - set(graph.edges)):
            with pytest.raises(InputError, match=f"the graph of this model has no node {missing[0]}"):
                scorer(graph, do)
            continue
        scores = scorer(graph, do, nodes=nodes, semantics=semantics)(batch)
        drop = semantics == "interventional" and bool(set(graph.edges["V"]) & set(do)) and "V" not in do
        expected = by_program(graph, batch, do, nodes, keep_offsets=not drop)
        assert close(scores.log_softmax(1), expected.log_softmax(1)), do


@torch.no_grad()
def by_program(graph, batch: Batch, do, nodes, *, keep_offsets: bool) -> torch.Tensor:
    """Run the whole graph under `poutine.do` and return the logits of R."""
    if "Z" in do:  # a value is that of the sum over windows
        batch = batch.without_other_windows()
    if "U" in do and getattr(graph, "interests", None) is not None:  # a value for U is all of it
        with mock.patch.object(graph, "interests", None):
            return by_program(graph, batch, do, nodes, keep_offsets=keep_offsets)
    if isinstance(do.get("Z"), torch.Tensor) and do["Z"].ndim == 2:  # a level of its own for each slot and item
        num_slots = len(batch.candidate_level)
        level = torch.arange(num_slots * NUM_ITEMS).view(num_slots, NUM_ITEMS)
        factors = batch.factors[batch.candidate_level.flatten()]
        fields = {"candidate_level": level, "factors": factors, "level_window": None}
        batch = type(batch)(**(vars(batch) | fields))
        do = do | {"Z": do["Z"].repeat(num_slots, 1)}
    index = graph.layout.index(batch)
    row = torch.arange(NUM_ITEMS) if index is None else index
    sizes = {"D": 2, "Z": len(batch.factors), "V": len(row), "U": batch.num_queries, "S": 2}
    data = {}
    for node, value in do.items():
        value = torch.as_tensor(value, dtype=torch.float32)
        value = value[row] if node == "V" and value.ndim == 2 else value
        data[node] = value.expand(sizes[node], NUM_EFFECTS if node == "S" else DIM)
    known = {name: value for name, value in (nodes or {}).items() if name in (*graph.edges, "V_decentered")}
    if known:
        known["V_decentered"] = known["V_decentered"][row]
        if not keep_offsets:
            del known["V_decentered"]
    free = {"V" if name == "V_decentered" else name for name in known}
    program = pyro.poutine.do(graph, data=data)
    program = pyro.poutine.reparam(program, config=noncentered(free))
    program = pyro.poutine.condition(program, data=known)
    return pyro.poutine.trace(program).get_trace(batch).nodes["R"]["fn"].logits


def test_the_domain_set_aside_with_and_without_the_items_noise(batch):
    graph, nodes = small_graph(), trained()
    zero = torch.zeros(DIM)
    assert close(scorer(graph, {"D": 0}, nodes=nodes)(batch), by_hand(graph, batch, S=nodes["S"][ROW], D=zero))
    kept = scorer(graph, {"D": 0}, nodes=nodes, semantics="counterfactual")(batch)
    assert close(kept, by_hand(graph, batch, S=nodes["S"][ROW], D=zero, offset=nodes["V_decentered"]))
    # Without the edge D → V the items are no descendants, and keep their MAP either way.
    graph = small_graph(graph="extended")
    expected = by_hand(graph, batch, S=nodes["S"][ROW], D=zero, offset=nodes["V_decentered"])
    assert close(scorer(graph, {"D": 0}, nodes=nodes)(batch), expected)


def test_popularity_set_to_nothing_is_taste_alone(batch):
    graph, nodes = small_graph(), trained()
    expected = by_hand(
        graph, batch, S=nodes["S"][ROW], D=nodes["D"][ROW], offset=nodes["V_decentered"], Z=torch.zeros(1, DIM)
    )
    assert close(scorer(graph, {"Z": 0}, nodes=nodes)(batch), expected)


def test_equal_popularity_cancels(batch):
    graph = small_graph(graph=PlainGraph)
    none, mean = scorer(graph, {"Z": 0})(batch), scorer(graph, {"Z": "mean"})(batch)
    assert close(none.log_softmax(1), mean.log_softmax(1))
    assert not close(none, mean), "at the mean, not at 0"


def test_mean_popularity_is_that_of_the_querys_own_slot(batch):
    """V depends on Z here, so that the mean does not cancel; which queries share a batch must not matter."""
    graph = small_graph(graph="paper")
    found = scorer(graph, {"Z": "mean"})(batch)
    with torch.no_grad():
        for query in range(batch.num_queries):
            mean = graph.f_pop(batch.factors[batch.candidate_level[batch.slot[query]]]).mean(0, keepdim=True)
            assert close(found[query], by_hand(graph, batch, Z=mean)[query])
    events = next(query_batches(ENCODED, np.arange(6)))[1].tolist()
    for one, here in query_batches(ENCODED, np.arange(6), max_scores=1):
        if set(here) <= set(events):
            rows = [events.index(event) for event in here]
            assert close(scorer(graph, {"Z": "mean"})(one), found[rows])


@pytest.mark.parametrize("edge", [False, True])
def test_setting_popularity_leaves_the_items_alone_unless_they_depend_on_it(edge):
    graph, nodes = small_graph(graph="paper" if edge else EveryPath), trained()
    before = scorer(graph, nodes=nodes).item_vectors_at_end()
    after = scorer(graph, {"Z": VECTOR}, nodes=nodes).item_vectors_at_end()
    assert torch.equal(before, after) is not edge
    if edge:
        with torch.no_grad():
            text = graph.f_e(ENCODED.texts)
            recomputed = graph.f_item(text, nodes["D"][ROW], VECTOR.expand(NUM_ITEMS, DIM))
        assert close(after, recomputed)
        kept = scorer(graph, {"Z": VECTOR}, nodes=nodes, semantics="counterfactual").item_vectors_at_end()
        assert close(kept, recomputed + PRIORS.V.scale * nodes["V_decentered"])


def test_setting_the_domain_does_not_change_popularity(batch):
    graph, nodes = small_graph(), trained()
    plain = {"V": 0, "U": 0}  # what is left is Z·W_z and the repeats
    before, after = (scorer(graph, plain | do, nodes=nodes)(batch) for do in ({}, {"D": VECTOR}))
    assert torch.equal(before, after)
    assert not close(before, torch.zeros_like(before))


def test_item_vectors_that_are_set_are_those_returned():
    assert torch.equal(scorer(small_graph(), {"V": ITEMS}).item_vectors_at_end(), ITEMS)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ({"Q": 0}, "no such node; expected one of D, Z, V, U, S"),
        ({"R": 0}, "no such node"),
        ({"z": 0}, "no such node"),
        ({"D": "mean"}, r"do\(D='mean'\): expected a number, a tensor, 'observed' or a multiple"),
        ({"Z": "median"}, "a number, a tensor, 'mean', 'observed' or a multiple such as 'x0.5'"),
        ({"D": None}, r"do\(D\): expected a number or a tensor"),
        ({"D": float("nan")}, "NaN or infinity"),
        ({"Z": torch.full((DIM,), torch.inf)}, "NaN or infinity"),
        ({"D": torch.zeros(DIM + 1)}, rf"shape \({DIM + 1},\), expected a number, \({DIM},\)$"),
        ({"D": ITEMS}, "expected a number"),
        ({"U": ITEMS}, "expected a number"),
        ({"V": ITEMS.T}, r"or \(num_items, 4\)"),
        ({"Z": ITEMS[None]}, "expected a number"),
    ],
)
def test_what_means_nothing_is_refused(do, message):
    with pytest.raises(InputError, match=message):
        Intervention.check(do, small_graph())


def test_unknown_semantics_are_refused():
    with pytest.raises(InputError, match="'interventional' or 'counterfactual'"):
        Intervention.check({}, small_graph(), "observational")


@pytest.mark.parametrize("node", ["Z", "V"])
def test_rows_must_be_the_domains_items(node):
    with pytest.raises(InputError, match=rf"do\({node}\): 11 rows, but domain 'small' has 12 items"):
        scorer(small_graph(), {node: ITEMS[:-1]})


@pytest.mark.parametrize(
    ("kind", "node", "has"),
    [
        ("unconfounded", "D", "V, U"),
        ("unconfounded", "Z", "V, U"),
        ("unconfounded", "S", "V, U"),
        ("paper", "S", "D, Z, V, U"),
    ],
)
def test_a_node_that_the_graph_lacks_cannot_be_set(kind, node, has):
    with pytest.raises(InputError, match=rf"do\({node}\): the graph of this model has no node {node}; it has {has}$"):
        scorer(small_graph(graph=kind), {node: 0})


def test_without_confounders_the_nodes_that_there_are_can_be_set(batch):
    scores = scorer(small_graph(graph="unconfounded"), {"U": VECTOR, "V": ITEMS})(batch)
    assert close(scores, (ITEMS @ VECTOR).expand(batch.num_queries, -1))


@pytest.mark.parametrize("edge", [False, True])
@pytest.mark.parametrize("do", [None, {"D": 0.5}, {"V": 0.2}])
def test_items_made_in_parts_are_those_made_at_once(batch, monkeypatch, do, edge):
    graph = small_graph(graph="paper" if edge else EveryPath)
    whole = scorer(graph, do, nodes=trained(), semantics="counterfactual")(batch)
    monkeypatch.setattr("prerec_pyro.inference.interventions.scorer._ITEMS", 5)
    parts = scorer(graph, do, nodes=trained(), semantics="counterfactual")(batch)
    assert close(parts, whole)  # not bit for bit: a product of five rows may be summed in another order

"""With one interest and one popularity window the extended graph computes what version 0.1.0's default graph did.

Each density, each draw and each list is the same up to the rounding of faster kernels.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pyro
import pytest
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, candidates_batch, catalogue_batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.ranking.top_k import top_k
from tests.support.graph_0_1 import Graph01
from tests.support.graphs import WIDE, all_windows, as_double, make_batch, make_encoded, make_graph


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors are equal up to the rounding of some sums; numbers that are not floats are equal."""
    if not one.is_floating_point():
        return torch.equal(one, other)
    wide = one.dtype == torch.float64
    return torch.allclose(one, other, rtol=1e-10 if wide else 2e-5, atol=1e-7 if wide else 1e-5)


WINDOWS = make_encoded("bits", num_items=30, lengths=(9, 1, 5, 2, 7, 3, 1, 6, 4, 8, 12, 5, 5))
ENCODED = WINDOWS.with_other_windows(())
THEN = {"num_interests": 1, "popularity_windows": False, "num_layers": 2}
NODES = "DSZVU"
K = 10


def serving_batch(encoded: EncodedDomain) -> Batch:
    """One query at the end of each of six histories, of one length."""
    history = np.random.default_rng(1).integers(0, encoded.num_items, (6, 5))
    return candidates_batch(encoded, history, np.arange(1, 7) * 5 - 1, encoded.slots[:6])


BATCHES = {
    "training": lambda: make_batch(ENCODED, num_negatives=20, domain=1),
    "catalogue": lambda: dataclasses.replace(catalogue_batch(ENCODED, all_windows(ENCODED))[0], domain=1),
    "serving": lambda: serving_batch(ENCODED),
}


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture(params=BATCHES)
def batch(request: pytest.FixtureRequest, dtype: torch.dtype) -> Batch:
    found = BATCHES[request.param]()
    return as_double(found) if dtype == torch.float64 else found


@pytest.fixture
def graph(dtype: torch.dtype) -> ExtendedGraph:
    """No parameter and no buffer is at its start, where a lost term would not be seen."""
    made = make_graph("extended", **THEN).to(dtype)
    torch.manual_seed(2)
    for value in made.likelihood.buffers():
        value += 0.4 * torch.randn_like(value)
    return made


def frozen(graph: ExtendedGraph, weights: dict[str, Tensor] | None = None) -> Graph01:
    """The same graph as version 0.1.0 had it."""
    named = graph.state_dict() if weights is None else weights
    scales = {node: getattr(WIDE, node).scale for node in NODES}
    own = {name.removeprefix("likelihood."): value for name, value in named.items()}
    return Graph01(own, scales, graph.num_domains, graph.config.num_heads)


def trace(program, batch: Batch, **values: Tensor) -> dict:
    torch.manual_seed(3)
    found = pyro.poutine.trace(pyro.poutine.condition(program, data=values)).get_trace(batch)
    found.compute_log_prob()
    return found.nodes


@torch.no_grad()
def test_each_density_is_the_same(graph: ExtendedGraph, batch: Batch) -> None:
    before = trace(frozen(graph), batch)
    after = trace(graph, batch, **{node: before[node]["value"] for node in [*NODES, "R"]})
    for node in [*NODES, "R"]:
        for part in ("value", "log_prob", "log_prob_sum"):
            assert alike(after[node][part], before[node][part]), (node, part)
    sampled = {name for name, site in after.items() if site["type"] == "sample"}
    assert sampled == {*NODES, "R", "domains", "levels", "items", "queries"}, "no site was left out"


@torch.no_grad()
def test_windows_that_it_does_not_read_change_nothing(graph: ExtendedGraph, dtype: torch.dtype) -> None:
    for encoded in (WINDOWS, ENCODED):
        batch = make_batch(encoded, num_negatives=20, domain=1)
        batch = as_double(batch) if dtype == torch.float64 else batch
        before, after = trace(frozen(graph), batch.without_other_windows()), trace(graph, batch)
        assert (batch.window_level is None) == (encoded is ENCODED)
        for node in [*NODES, "R"]:
            assert alike(after[node]["value"], before[node]["value"]), node
        assert alike(after["R"]["fn"].logits, before["R"]["fn"].logits)


@torch.no_grad()
def test_each_draw_is_the_same(graph: ExtendedGraph, batch: Batch) -> None:
    """Nodes are sampled in the same order, so that one seed gives one world."""
    before, after = trace(frozen(graph), batch), trace(graph, batch)
    for node in [*NODES, "R"]:
        assert alike(after[node]["value"], before[node]["value"]), node


def test_each_gradient_is_the_same(graph: ExtendedGraph, batch: Batch) -> None:
    parameters = dict(graph.named_parameters())
    values = {node: trace(graph, batch)[node]["value"].detach() for node in "DSZ"}
    found = []
    for program in (frozen(graph, parameters | dict(graph.named_buffers())), graph):
        sites = trace(program, batch, **values)
        loss = sum(sites[node]["log_prob_sum"] for node in [*NODES, "R"])
        found.append(torch.autograd.grad(loss, list(parameters.values()), allow_unused=True))
    for name, before, after in zip(parameters, *found, strict=True):
        assert (before is None and after is None) or alike(before, after), name


@torch.no_grad()
def test_each_list_is_the_same(graph: ExtendedGraph, batch: Batch) -> None:
    before = trace(frozen(graph), batch)
    after = trace(graph, batch, **{node: before[node]["value"] for node in NODES})
    for one, other in zip(*(top_k(sites["R"]["fn"].logits, K) for sites in (before, after)), strict=True):
        assert alike(one, other)


@pytest.mark.parametrize("name", ["catalogue", "serving"])
@torch.no_grad()
def test_what_a_new_store_is_served_is_the_same(name: str) -> None:
    """Zero-shot, all nodes at their prior means: by the scorer, and by the frozen program."""
    batch, graph = dataclasses.replace(BATCHES[name](), domain=0), make_graph("extended", **THEN).float()
    old = frozen(graph)
    values = {"D": torch.zeros(2, 8), "S": torch.zeros(2, 4)}
    for node in "ZVU":
        values[node] = trace(old, batch, **values)[node]["fn"].mean
    served = InterventionalScorer(graph, ENCODED, Intervention({}))(batch).log_softmax(-1)
    expected = trace(old, batch, **values)["R"]["fn"].logits
    for one, other in zip(top_k(served, K), top_k(expected, K), strict=True):
        assert alike(one, other)

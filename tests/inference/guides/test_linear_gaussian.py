"""A linear-Gaussian world small enough for pencil and paper: the two meanings of `do`, number by number.

Three items, B = 2. U = 2 (x_last + D), V_j = x_j + (D_2, D_1) + (0, Z_j1) + ½ ε_j, scores U·V + 3 Z_j1. The log shows
the items 2, 1 and 0 times, so Z_j1 = log(1 + F_j1) is ln 3, ln 2 and 0. Inferred: D = (1, -1) and the noises ε. The
query's last item is the first, x = (1, 0), so U = (4, -2) as things are.
"""

from __future__ import annotations

import dataclasses
from math import log

import numpy as np
import pytest
import torch

from prerec_pyro.data.batching.batch import candidates_batch
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.models.graphs.config import PaperConfig
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.priors import Normal, Priors

LN2, LN3 = log(2), log(3)
TRAINED = {
    "D": torch.tensor([[1.0, -1.0]]),
    "V_decentered": torch.tensor([[1.0, 0.0], [0.0, -1.0], [2.0, 2.0]]),
}


@pytest.fixture(scope="module")
def encoded():
    return encode_domain(
        Domain(
            name="pencil",
            item_ids=np.array(list("abc"), dtype=object),
            item_texts=np.array(list("abc"), dtype=object),
            user_ids=np.array(["u"], dtype=object),
            offsets=np.array([0, 3]),
            item_index=np.array([0, 1, 0]),
            timestamps=None,
            embeddings=np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=np.float32),
        )
    )


class NoPopularityEdge(PaperGraph):
    """The paper's graph without Z → V."""

    edges = {"D": "", "Z": "", "V": "D", "U": "D", "R": "UVDZ"}  # noqa: RUF012


class NoItemEdges(PaperGraph):
    """The paper's graph without D → V and Z → V."""

    edges = {"D": "", "Z": "", "V": "", "U": "D", "R": "UVDZ"}  # noqa: RUF012


@torch.no_grad()
def pencil_graph(kind: type[PaperGraph] = PaperGraph) -> PaperGraph:
    config = PaperConfig(latent_dim=2, num_layers=1, dropout=0, history_dropout=0)
    graph = kind(config, num_domains=1, text_dim=2, priors=Priors(V=Normal(0.5))).eval()
    for name, parameter in graph.named_parameters():
        if not name.endswith("norm.weight"):
            parameter.zero_()  # the blocks of f_seq then pass on what comes in
    graph.f_e.linear.weight += torch.eye(2)
    graph.f_seq.log_length += LN2
    graph.f_pop.linear.weight[0, 0] = 1.0
    graph.W_z += torch.tensor([3.0, 0.0])
    if graph.f_item.from_domain is not None:
        graph.f_item.from_domain.weight += torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    if graph.f_item.from_popularity is not None:
        graph.f_item.from_popularity.weight += torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    return graph


def answer(encoded, graph, do=None, semantics="interventional", trained=TRAINED):
    intervention = Intervention.check(do, graph, semantics)
    scorer = InterventionalScorer(graph, encoded, intervention, trained=trained)
    history = np.zeros((1, 1), np.int64)
    return scorer(candidates_batch(encoded, history, np.zeros(1, np.int64), np.ones(1, np.int64)))[0]


def check(found: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=0)


def test_as_things_are(encoded):
    # V = (½, 1 + ln 3), (-1, 1½ + ln 2), (1, 3)
    check(answer(encoded, pencil_graph()), [LN3, -7 + LN2, -2])


# do → interventional, counterfactual, worked out by hand.
WHERE_THEY_DIFFER = {
    # U = (2, 0); V = (1, ln 3), (0, 1 + ln 2), (1, 1), and with the noise (1½, ·), (0, ·), (2, ·)
    "the domain is the average one": ({"D": 0}, [2 + 3 * LN3, 3 * LN2, 2], [3 + 3 * LN3, 3 * LN2, 4]),
    # V = (0, 1), (-1, 2), (0, 2), and with the noise (½, 1), (-1, 1½), (1, 3)
    "no popularity": ({"Z": 0}, [-2, -8, -4], [0, -7, -2]),
    # V = (0, 2), (-1, 3), (0, 3), and each item gets 3 more
    "all equally popular": ({"Z": 1}, [-1, -7, -3], [1, -6, -1]),
    "neither": ({"D": 0, "Z": 0}, [2, 0, 2], [3, 0, 4]),
    # Z is set to what it is: only the noise is at stake
    "what it is": ({"Z": "observed"}, [-2 + LN3, -8 + LN2, -4], [LN3, -7 + LN2, -2]),
    # z → 2 z: V gains (0, z), and the score 3 z
    "doubled": ({"Z": "x2"}, [-2 + 2 * LN3, -8 + 2 * LN2, -4], [2 * LN3, -7 + 2 * LN2, -2]),
    # D = (½, -½): U = (3, -1); V = (½, ½ + ln 3), (-½, 1½ + ln 2), (½, 1½)
    "half of the domain": ({"D": "x0.5"}, [1 + 2 * LN3, -3 + 2 * LN2, 0], [2.5 + 2 * LN3, -2.5 + 2 * LN2, 2]),
}


@pytest.mark.parametrize("name", WHERE_THEY_DIFFER)
def test_the_two_meanings_differ_by_the_noise_of_what_descends(encoded, name):
    do, interventional, counterfactual = WHERE_THEY_DIFFER[name]
    check(answer(encoded, pencil_graph(), do), interventional)
    check(answer(encoded, pencil_graph(), do, "counterfactual"), counterfactual)
    assert interventional != counterfactual


# graph, do, what is known, the one answer.
WHERE_THEY_AGREE = {
    "the items are set themselves": (PaperGraph, {"V": 1}, TRAINED, [2 + 3 * LN3, 2 + 3 * LN2, 2]),
    "items that are set do not descend": (PaperGraph, {"D": 0, "V": 1}, TRAINED, [2 + 3 * LN3, 2 + 3 * LN2, 2]),
    "the user has no noise": (PaperGraph, {"U": torch.tensor([2.0, 0.0])}, TRAINED, [1 + 3 * LN3, -2 + 3 * LN2, 2]),
    "no edge Z → V": (NoPopularityEdge, {"Z": 0}, TRAINED, [0, -7, -2]),
    "no edge D → V": (
        NoItemEdges,
        {"D": 0},
        TRAINED,
        [3 + 3 * LN3, 3 * LN2, 4],
    ),
    "zero-shot": (PaperGraph, {"Z": 0}, None, [2, 0, 2]),
}


@pytest.mark.parametrize("name", WHERE_THEY_AGREE)
def test_the_two_meanings_agree_where_nothing_with_noise_descends(encoded, name):
    kind, do, trained, expected = WHERE_THEY_AGREE[name]
    check(answer(encoded, pencil_graph(kind), do, trained=trained), expected)
    check(answer(encoded, pencil_graph(kind), do, "counterfactual", trained=trained), expected)


@pytest.mark.parametrize("do", [{"D": TRAINED["D"][0]}, {"D": "observed"}, {"Z": "observed"}, {"D": "x1", "Z": "x1"}])
def test_a_node_set_to_what_it_is_changes_nothing_in_the_same_world(encoded, do):
    """The consistency of counterfactuals, to the last bit."""
    assert torch.equal(answer(encoded, pencil_graph(), do, "counterfactual"), answer(encoded, pencil_graph()))
    assert not torch.equal(answer(encoded, pencil_graph(), do), answer(encoded, pencil_graph()))


def test_the_noise_is_what_abduction_finds(encoded):
    """Observe V, infer ε = (V - mean) / ½ under D = (1, -1), and act: the items move by A ΔD and no further."""
    graph = pencil_graph(NoPopularityEdge)
    V = torch.tensor([[0.3, -0.2], [1.1, 0.4], [-0.7, 0.9]])
    mean = encoded.texts + torch.tensor([-1.0, 1.0])
    known = TRAINED | {"V_decentered": (V - mean) / 0.5}
    do = {"D": torch.tensor([0.5, 0.25])}  # ΔD = (-½, 1¼), so A ΔD = (1¼, -½)
    for semantics, expected in (
        ("counterfactual", V + torch.tensor([1.25, -0.5])),
        ("interventional", encoded.texts + torch.tensor([0.25, 0.5])),
    ):
        intervention = Intervention.check(do, graph, semantics)
        scorer = InterventionalScorer(graph, encoded, intervention, trained=known)
        torch.testing.assert_close(scorer.item_vectors_at_end(), expected, atol=1e-5, rtol=0)


def test_descendants_of_descendants_are_recomputed():
    chain = {"D": frozenset(), "S": frozenset(), "Z": frozenset("D"), "V": frozenset("Z"), "U": frozenset("V")}
    asked = Intervention.check({"D": 0, "U": 0}, pencil_graph())
    assert asked.recomputed(chain) == {"Z", "V"}
    assert dataclasses.replace(asked, values={"V": 0}).recomputed(chain) == {"U"}

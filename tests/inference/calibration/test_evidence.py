"""Evidence about S: log-probabilities against the dense ones of the scorer, and the rivals of a choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.inference.calibration import evidence as module
from prerec_pyro.inference.calibration.evidence import Evidence, gather
from prerec_pyro.inference.calibration.fit import choice_log_probs
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.models.graphs.registry import GraphClass
from tests.support.batches import effects
from tests.support.models import EveryPath, small_encoded, small_graph

EVERYBODY = np.arange(40)
ENCODED = small_encoded(num_items=15, num_users=40)
REPEAT_FIELDS = ("correction", "popularity", "weight")


def scorer_of(graph: object, S: torch.Tensor | None = None) -> InterventionalScorer:
    do = {} if S is None else {"S": S}
    return InterventionalScorer(graph.eval(), ENCODED, Intervention.check(do, graph))


def dense_log_probs(scorer: InterventionalScorer) -> torch.Tensor:
    """Return log P of each choice of the log, by its position there; NaN for first events."""
    found = torch.full((ENCODED.domain.num_interactions,), torch.nan)
    for batch, events in query_batches(ENCODED, EVERYBODY):
        found[events] = scorer(batch).log_softmax(1).gather(1, batch.targets[:, None])[:, 0]
    return found


@pytest.fixture(scope="module", params=["extended", EveryPath, "one interest"], ids=str)
def graph(request: pytest.FixtureRequest) -> GraphClass:
    return (
        small_graph(graph="extended", num_interests=1)
        if request.param == "one interest"
        else small_graph(graph=request.param)
    )


def test_evidence_holds_each_choice_once_by_time(graph) -> None:
    found = gather(scorer_of(graph), ENCODED, EVERYBODY)
    choices = [e for e in range(ENCODED.domain.num_interactions) if e not in ENCODED.domain.offsets]
    assert sorted(found.events.tolist()) == choices
    assert found.times.tolist() == sorted(ENCODED.slots[choices].tolist())
    assert found.times.tolist() == ENCODED.slots[found.events].tolist()
    assert len(found) == len(choices)
    few = found[:7]
    assert isinstance(few, Evidence)
    assert (len(few), len(few.products), len(few.events)) == (7, 7, 7)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_log_probabilities_are_the_dense_ones_where_all_items_are_rivals(graph, S: list[float]) -> None:
    value = torch.tensor(S[: graph.domain_widths["S"]])
    found = gather(scorer_of(graph), ENCODED, EVERYBODY)
    assert 5 < found.is_repeat.sum() < len(found) - 5, "both kinds of choice are compared"
    with torch.no_grad():
        ours = choice_log_probs(graph, found, value * graph.likelihood.spread)
    dense = dense_log_probs(scorer_of(graph, value))[found.events]
    torch.testing.assert_close(ours, dense, rtol=1e-3, atol=1e-3)


def test_rivals_of_a_repeated_item_are_the_others_of_the_history(graph) -> None:
    """Each at once, whatever its number of events: as Z·W_z and products of these items, in some order."""
    scorer = scorer_of(graph)
    found = gather(scorer, ENCODED, EVERYBODY)
    row_of = {event: row for row, event in enumerate(found.events.tolist())}
    checked = 0
    for batch, events in query_batches(ENCODED, EVERYBODY):
        match, popularity = effects(scorer, batch)
        seen = torch.zeros(match.shape, dtype=torch.bool)
        seen[tuple(batch.repeats)] = True
        for query, event in enumerate(events.tolist()):
            row, target = row_of[event], int(batch.targets[query])
            rivals = found.weight[row] > -torch.inf
            assert rivals[0]
            assert (found.weight[row][rivals] == 0).all(), "none stands for others"
            wanted = seen[query] if seen[query, target] else ~seen[query]
            assert bool(found.is_repeat[row]) == bool(seen[query, target])
            assert found.popularity[row, 0] == popularity[query, target]
            torch.testing.assert_close(
                found.popularity[row][rivals].sort().values, popularity[query][wanted].sort().values
            )
            checked += int(found.is_repeat[row])
    assert checked > 5


@pytest.mark.parametrize("seen", [[], [3], [0, 1, 2, 5, 9, 12], [n for n in range(30) if n != 7]], ids=len)
def test_drawn_rivals_represent_all_others(seen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Summed with their weights, rivals are on average all new items; near and popular ones count exactly."""
    for name, number in (("NEAR", 3), ("POPULAR", 2), ("DRAWN", 6)):
        monkeypatch.setattr(module, name, number)
    torch.manual_seed(0)
    match, popularity, target = torch.randn(1, 30), torch.randn(1, 30), torch.tensor([7])
    is_seen = torch.zeros(1, 30, dtype=torch.bool)
    is_seen[0, seen] = True
    value, generator = torch.rand(30), torch.Generator().manual_seed(0)
    sums = []
    for _ in range(2000):
        candidates, weight = module._rivals(match, popularity, is_seen, target, generator)
        assert candidates.shape == weight.shape == (1, 12)
        assert (candidates[0, 0], weight[0, 0]) == (7, 0.0)
        counted = weight[0] > -torch.inf
        assert not is_seen[0, candidates[0, 1:][counted[1:]]].any()
        assert (candidates[0, 1:][counted[1:]] != 7).all(), "the target is no rival of its own"
        exact = candidates[0][(weight[0] == 0.0)].tolist()
        assert len(set(exact)) == len(exact)
        sums.append(float((weight[0].exp() * value[candidates[0]])[counted].sum()))
    wanted = float(value[~is_seen[0]].sum()) if 7 not in seen else float(value[~is_seen[0]].sum() + value[7])
    error = np.std(sums) / len(sums) ** 0.5
    assert abs(np.mean(sums) - wanted) <= 4 * error + 1e-4
    new = [j for j in range(30) if j not in seen and j != 7]
    nearest = sorted(new, key=lambda j: -float(match[0, j] + popularity[0, j]))[:3]
    assert set(nearest) <= set(exact)


def test_few_items_are_all_rivals() -> None:
    generator = torch.Generator()
    is_seen = torch.tensor([[True, False, False, True, False]])
    candidates, weight = module._rivals(torch.randn(1, 5), torch.randn(1, 5), is_seen, torch.tensor([2]), generator)
    assert sorted(candidates[0][weight[0] == 0].tolist()) == [1, 2, 4]


def test_without_a_query_there_is_no_evidence(graph) -> None:
    assert gather(scorer_of(graph), ENCODED, np.empty(0, np.int64)) is None

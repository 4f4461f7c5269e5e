"""Choices drawn from the prior: they come from the program, and their statistics are computed correctly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, catalogue_batch, query_batches
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.prior.predictive import PERCENTS, STATISTICS, ChoiceStatistics, prior_predictive
from prerec_pyro.models.priors import HalfCauchy, Horseshoe, LogNormal, Normal
from tests.support.graphs import all_windows
from tests.support.models import PRIORS, prerec, shaken, small_domain, small_encoded, small_graph

A, NEW = small_domain("a", seed=1), small_domain("new", num_items=15, num_users=40, seed=3)


def batch() -> Batch:
    return next(query_batches(small_encoded(num_items=17, num_users=30), np.arange(30)))[0]


def by_hand(batch: Batch, choice: Tensor, percent: float) -> float:
    """Return the share of choices on the top, averaged over all orders of items that tie."""
    size, total = max(1, round(batch.counts.shape[1] * percent / 100)), 0.0
    for query, item in enumerate(choice.tolist()):
        counts = batch.counts[batch.slot[query]].tolist()
        above = sum(count > counts[item] for count in counts)
        ties = sum(count == counts[item] for count in counts)
        total += min(max(size - above, 0), ties) / ties
    return total / len(choice)


@pytest.mark.parametrize("kind", ["targets", "random", "most popular"])
def test_shares_of_popular_items(kind: str) -> None:
    one = batch()
    choice = {
        "targets": one.targets,
        "random": torch.randint(17, one.targets.shape, generator=torch.Generator().manual_seed(0)),
        "most popular": one.counts[one.slot].argmax(1),
    }[kind]
    found = ChoiceStatistics(one).shares(choice).tolist()
    assert found == pytest.approx([by_hand(one, choice, percent) for percent in PERCENTS], abs=1e-6)
    assert found[-1] == 1.0


def test_statistics_of_choices() -> None:
    one = batch()
    logits = torch.randn(one.num_queries, 17, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    logits[:, 3] = logits[:, 4]
    logits = logits.log_softmax(1)
    found = dict(zip(STATISTICS, ChoiceStatistics(one).statistics(one.targets, logits), strict=True))
    seen = [set(one.history[p // one.history.shape[1], : p % one.history.shape[1] + 1].tolist()) for p in one.positions]
    assert found["repeats"] == pytest.approx(np.mean([t in h for t, h in zip(one.targets.tolist(), seen, strict=True)]))
    assert found["distinct"] == len(set(one.targets.tolist())) / one.num_queries
    rank = pd.DataFrame(logits.numpy()).rank(axis=1, ascending=False).to_numpy()
    own = rank[np.arange(one.num_queries), one.targets]
    assert found["heldout_rank"] == pytest.approx(np.sort((own - 0.5) / 17)[(len(own) - 1) // 2], abs=1e-6)
    entropy = torch.distributions.Categorical(logits=logits).entropy().mean() / np.log(17)
    assert found["entropy"] == pytest.approx(float(entropy), abs=1e-6)


def point_priors(**changes: object):
    points = {node: Normal(1e-6) for node in ("D", "Z", "V", "U", "S")}
    return dataclasses.replace(PRIORS, **(points | changes))


@pytest.mark.parametrize("kind", ["extended", "paper", "unconfounded"])
def test_with_point_priors_draws_follow_the_scores_that_rank_items(kind: str) -> None:
    graph = small_graph(1, graph=kind, priors=point_priors()).eval()
    encoded = small_encoded(num_users=60)
    found = prior_predictive(graph, encoded, draws=100, queries=10_000, seed=0)
    one = catalogue_batch(encoded, all_windows(encoded))[0]
    p = InterventionalScorer(graph, encoded, Intervention({}))(one).softmax(1)
    every = torch.arange(encoded.num_items)
    top = torch.zeros(())
    for query in range(one.num_queries):
        inside = torch.tensor([by_hand(_only(one, query), every[i : i + 1], 20) for i in range(encoded.num_items)])
        top = top + (p[query] * inside).sum() / one.num_queries
    assert found.num_queries == one.num_queries
    assert found.draws["top_20_percent"].mean() == pytest.approx(float(top), abs=0.01)
    assert found.draws["entropy"].std() < 1e-4


def _only(batch: Batch, query: int) -> Batch:
    return dataclasses.replace(batch, slot=batch.slot[query : query + 1])


def test_a_wider_prior_of_W_z_makes_popularity_matter_more_in_either_direction() -> None:
    deviations = []
    for scale in (1e-6, 0.5, 5.0):
        graph = small_graph(1, priors=point_priors(W_z=Normal(scale)))
        draws = prior_predictive(graph, small_encoded(num_users=60), draws=40, seed=0).draws
        deviations.append(draws["top_20_percent"].std())
    assert deviations[0] < deviations[1] < deviations[2]


def test_draws_repeat_themselves_and_leave_other_random_numbers_alone() -> None:
    graph, encoded = small_graph(), small_encoded()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, again, other = (prior_predictive(graph, encoded, draws=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    pd.testing.assert_frame_equal(one.draws, again.draws)
    assert not one.draws.equals(other.draws)
    assert graph.training


def test_queries_are_bounded() -> None:
    encoded = small_encoded(num_users=60)
    few = prior_predictive(small_graph(), encoded, draws=2, queries=20)
    assert 20 <= few.num_queries < 30
    assert prior_predictive(small_graph(graph="paper"), encoded, draws=2, queries=20).num_queries >= 20


@pytest.mark.parametrize("trained", [False, True])
def test_a_model_has_prior_draws_before_and_after_training(trained: bool) -> None:
    priors = dataclasses.replace(PRIORS, D=Normal(LogNormal(0.5, 1.0)), W_z=Horseshoe(HalfCauchy(0.5)))
    model = prerec(priors=priors)
    if trained:
        shaken(model.fit([A]))
    found = model.prior_predictive(NEW, draws=5, seed=0)
    assert (model._graph is not None) == trained, "an untrained model stays untrained"
    assert found.domain == "new"
    assert list(found.draws) == list(STATISTICS)
    assert len(found.draws) == 5
    table = found.summary()
    assert list(table.columns) == ["observed", "mean", "5%", "95%", "share_below"]
    assert table.loc["heldout_rank"].isna()[["observed", "share_below"]].all()
    assert ((table["5%"] <= table["95%"]) & table["mean"].between(0, 1)).all()
    left, right = found.plot()
    assert left.get_xlabel().startswith("% of the items")
    assert [text.get_text() for text in right.get_yticklabels()][-1] == "entropy"


def test_share_below_is_the_share_of_draws_below_the_log() -> None:
    found = prior_predictive(small_graph(), small_encoded(), draws=4)
    found.draws["repeats"] = [0.1, 0.2, 0.3, 0.4]
    found.observed["repeats"] = 0.3
    assert found.summary().loc["repeats", "share_below"] == pytest.approx((2 + 0.5) / 4)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="draws is 0, expected 1 or more"):
        prior_predictive(small_graph(), small_encoded(), draws=0)
    first = {"item_index": A.item_index[: A.num_users], "timestamps": A.timestamps[: A.num_users]}
    lonely = dataclasses.replace(A, offsets=np.arange(A.num_users + 1), **first)
    with pytest.raises(InputError, match="no user has two events"):
        prerec().prior_predictive(lonely, draws=1)

"""The softmax of eq. 2: its distribution against PyTorch's own, its logits against loops."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.batch import Batch, catalogue_batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.models.likelihoods.softmax import EffectFactors, Match, Softmax, SoftmaxCategorical
from tests.support.graphs import all_windows, make_batch

SHAPES = [(5,), (3, 7), (2, 3, 4)]


def logits_of(shape: tuple[int, ...]) -> torch.Tensor:
    torch.manual_seed(0)
    return (5 * torch.randn(shape, dtype=torch.double)).requires_grad_(True)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_categorical(shape: tuple[int, ...]) -> None:
    logits = logits_of(shape)
    ours, theirs = SoftmaxCategorical(logits), dist.Categorical(logits=logits)
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    torch.testing.assert_close(ours.probs, theirs.probs)
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    value = theirs.sample((6,))
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    slopes = [torch.autograd.grad(one.log_prob(value).square().sum(), logits)[0] for one in (ours, theirs)]
    torch.testing.assert_close(*slopes)


def test_a_masked_candidate_is_never_chosen() -> None:
    logits = torch.tensor([0.0, -torch.inf, 1.0])
    assert SoftmaxCategorical(logits).log_prob(torch.tensor(1)) == -torch.inf
    torch.manual_seed(0)
    assert set(SoftmaxCategorical(logits).sample((200,)).tolist()) == {0, 2}


def test_a_plate_broadcasts_it() -> None:
    def program() -> torch.Tensor:
        with pyro.plate("draws", 4, dim=-2), pyro.plate("queries", 3, dim=-1):
            return pyro.sample("R", SoftmaxCategorical(logits_of((3, 7)).detach()))

    trace = pyro.poutine.trace(program).get_trace()
    trace.compute_log_prob()
    site = trace.nodes["R"]
    assert isinstance(site["fn"], SoftmaxCategorical)
    assert site["value"].shape == site["log_prob"].shape == (4, 3)
    torch.testing.assert_close(site["log_prob"], dist.Categorical(logits=logits_of((3, 7))).log_prob(site["value"]))


def drawn_effects(batch: Batch, draws: tuple[int, ...], seed: int) -> tuple[Match, torch.Tensor]:
    """Return U·V and Z·W_z of some draws."""
    generator = torch.Generator().manual_seed(seed)
    shape = (*draws, batch.num_queries, batch.candidate_level.shape[1])
    target = None if batch.negatives is None else torch.randn(shape[:-1], generator=generator)
    popularity = torch.randn(*draws, len(batch.factors), generator=generator)
    return Match(torch.randn(shape, generator=generator), target), popularity


def logits_by_loops(match: Match, popularity: torch.Tensor | None, batch: Batch) -> torch.Tensor:
    """Eq. 2 candidate by candidate, of one draw; in training the target first, and never a second time."""
    rows = []
    for query in range(batch.num_queries):
        levels = torch.stack([batch.candidate_level, *batch.window_level])[:, batch.slot[query]]  # in each window
        row = [
            match.candidates[query, c] + (0.0 if popularity is None else popularity[level].sum())
            for c, level in enumerate(levels.T)
        ]
        if match.target is not None:
            own = batch.items[batch.targets[query]]
            row = [
                torch.tensor(-torch.inf) if batch.items[batch.negatives[c]] == own else value
                for c, value in enumerate(row)
            ]
            level = torch.stack([batch.target_level, *batch.target_window_level])[:, query]
            first = match.target[query] + (0.0 if popularity is None else popularity[level].sum())
            row = [first, *row]
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize("with_popularity", [True, False])
@pytest.mark.parametrize("draws", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("kind", ["training", "catalogue"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), num_negatives=st.integers(1, 30))
def test_its_logits_are_eq_2(
    timed: EncodedDomain, kind: str, draws: tuple[int, ...], with_popularity: bool, seed: int, num_negatives: int
) -> None:
    batch = make_batch(timed, num_negatives=num_negatives, seed=seed)
    if kind == "catalogue":
        batch, _ = catalogue_batch(timed, all_windows(timed))
    match, popularity = drawn_effects(batch, draws, seed)
    effect = popularity if with_popularity else None
    found = Softmax().logits(match, effect, None, batch)
    width = batch.candidate_level.shape[1] + (batch.negatives is not None)
    assert found.shape == (*draws, batch.num_queries, width)
    for draw in torch.cartesian_prod(*map(torch.arange, draws)).reshape(-1, len(draws)).tolist() if draws else [[]]:
        at = tuple(draw)
        one = Match(match.candidates[at], None if match.target is None else match.target[at])
        expected = logits_by_loops(one, None if effect is None else effect[at], batch)
        torch.testing.assert_close(found[at], expected)


def test_it_has_neither_effect_scales_nor_a_mixture() -> None:
    assert Softmax().factors(None) == EffectFactors(1.0, 1.0)
    assert Softmax().rates(None) is None

"""The distribution of R against PyTorch's own."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

from prerec_pyro.models.likelihoods.softmax import SoftmaxCategorical

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

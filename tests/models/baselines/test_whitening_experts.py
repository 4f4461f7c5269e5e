"""The whitening experts against the closed form."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from prerec_pyro.models.baselines.whitening_experts import WhiteningExperts


@pytest.fixture
def texts() -> torch.Tensor:
    torch.manual_seed(1)
    return F.normalize(torch.randn(9, 6), dim=-1)


def experts(number: int = 3, dropout: float = 0.0) -> WhiteningExperts:
    torch.manual_seed(0)
    module = WhiteningExperts(6, 4, num_experts=number, dropout=dropout).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module


def test_the_result_is_the_gated_sum_of_whitened_texts(texts: torch.Tensor) -> None:
    module = experts()
    gates = (6**0.5 * texts @ module.gate).softmax(-1)
    expected = sum(gates[:, k, None] * ((texts - module.bias[k]) @ module.weight[k]) for k in range(3))
    torch.testing.assert_close(module(texts), expected)
    torch.testing.assert_close(module.gates(texts), gates)


def test_one_expert_can_whiten(texts: torch.Tensor) -> None:
    """With the mean as bias and the inverse root of the covariance as map, the covariance of the result is I."""
    module = WhiteningExperts(6, 6, num_experts=1, dropout=0.0).eval()
    values, vectors = torch.linalg.eigh(torch.cov(texts.T))
    with torch.no_grad():
        module.bias[0] = texts.mean(0)
        module.weight[0] = vectors @ values.clamp_min(1e-9).rsqrt().diag()
    white = module(texts)
    torch.testing.assert_close(white.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(6), atol=1e-2, rtol=0)


def test_gates_get_the_noise_of_the_noise_map_in_training(texts: torch.Tensor) -> None:
    module = experts()
    with torch.no_grad():
        module.gate.zero_()
        module.noise.zero_()
    assert torch.equal(module.gates(texts), torch.full((9, 3), 1 / 3))
    module.train()
    draws = torch.stack([module.gates(texts[:1]).detach().log() for _ in range(4000)])[:, 0]  # (4000, 3)
    spread = (draws[:, 0] - draws[:, 1]).std() / 2**0.5  # of the difference of two logits
    assert float(spread) == pytest.approx(math.log(2) + 1e-2, rel=0.05)  # softplus(0) = log 2


def test_experts_start_near_the_principal_directions_and_apart(texts: torch.Tensor) -> None:
    torch.manual_seed(0)
    module = WhiteningExperts(6, 6, num_experts=3, dropout=0.0).eval()
    module.start_from([texts])
    cosine = torch.corrcoef(torch.stack([(module(texts) @ module(texts).T).flatten(), (texts @ texts.T).flatten()]))
    assert cosine[0, 1] > 0.97
    assert (module.weight[0] - module.weight[1]).abs().min() > 0


def test_dropout_acts_on_the_texts_in_training(texts: torch.Tensor) -> None:
    module = experts(1, dropout=0.5)  # one expert: its gate is 1, noise or none
    assert torch.equal(module(texts), module(texts))
    module.train()
    assert not torch.equal(module(texts), module(texts))

"""ZESRec: its joint density against Pyro's distributions, and its item offsets."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch

from prerec_pyro.models.baselines.text_sequence import sampled_softmax_loss
from prerec_pyro.models.baselines.zesrec import ZESRec, ZESRecConfig
from tests.support.graphs import as_double, make_batch, make_encoded

WORLD = make_encoded("a", lengths=(9, 1, 5, 2, 7), num_items=12)
SCALE = 0.3


def small(num_rows: int = 12) -> ZESRec:
    torch.manual_seed(0)
    module = ZESRec(ZESRecConfig(latent_dim=8, dropout=0.0, offset_scale=SCALE), 6, num_rows)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module.double().eval()


@torch.no_grad()
def test_the_loss_is_the_joint_density_up_to_a_constant() -> None:
    """With all items as candidates, each item counts once in the prior."""
    module = small()
    batch = as_double(make_batch(WORLD, num_negatives=WORLD.num_items))
    V = module.items(batch.texts, batch.item_rows)
    U = module.users(V[batch.history], batch.positions)
    log_r = 0.0
    for query, target in enumerate(batch.targets.tolist()):
        rows = [target] + [row for row in range(WORLD.num_items) if row != target]
        log_r = log_r + dist.Categorical(logits=V[rows] @ U[query]).log_prob(torch.tensor(0))
    texts = module.f_e(batch.texts)
    assert len(V) == WORLD.num_items
    log_v = dist.Normal(texts, SCALE).log_prob(V).sum()
    constant = V.numel() * (-math.log(SCALE) - 0.5 * math.log(2 * math.pi))
    expected = -(log_r + log_v - constant) / batch.num_queries
    assert float(module(batch)) == pytest.approx(float(expected), rel=1e-9)


@torch.no_grad()
def test_the_penalty_weights_each_item_by_its_prior_weight() -> None:
    module, batch = small(), as_double(make_batch(WORLD, num_negatives=5))
    V = module.items(batch.texts, batch.item_rows)
    fit = sampled_softmax_loss(module.users(V[batch.history], batch.positions), V, batch)
    squares = module.table.weight[batch.item_rows].square().sum(1)
    penalty = 0.5 * (batch.prior_weight * squares).sum() / batch.num_domain_queries
    assert (batch.prior_weight == 0).any()
    torch.testing.assert_close(module(batch), fit + penalty)


def test_a_new_item_is_at_its_prior_mean() -> None:
    module = small()
    texts, rows = WORLD.texts.double(), torch.arange(12)
    torch.testing.assert_close(module.items(texts, torch.full((12,), -1)), module.f_e(texts))
    torch.testing.assert_close(module.items(texts, rows), module.f_e(texts) + SCALE * module.table.weight)


def test_a_step_changes_the_rows_of_its_batch_only() -> None:
    module, batch = small(40), as_double(make_batch(WORLD, num_negatives=2, first_row=20))
    module(batch).backward()
    gradient = module.table.weight.grad
    assert gradient.is_sparse
    assert set(gradient.coalesce().indices()[0].tolist()) == set(batch.item_rows.tolist())

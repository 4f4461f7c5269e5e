"""GRU4Rec and SASRec: the loss against prefixes computed one by one, causality, and the start."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.baselines.item_network import ItemNetwork
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.models.baselines.text_sequence import item_offsets
from tests.support.graphs import as_double, make_batch, make_encoded

SMALL = {
    "gru4rec": {"latent_dim": 8, "num_layers": 2, "text_hidden": 5},
    "sasrec": {"latent_dim": 8, "num_layers": 2, "text_hidden": 5},
}
WORLD = make_encoded("a", lengths=(9, 1, 5, 2, 7), num_items=12)


def small(method: str, **changes: object) -> nn.Module:
    """A module in double precision, in evaluation mode, with every parameter away from its special start."""
    torch.manual_seed(0)
    config = LEARNED[method].config(**(SMALL[method] | {"dropout": 0.0} | changes))
    module = LEARNED[method].build(config, 6, 30, False)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return module.double().eval()


@pytest.fixture(params=list(SMALL))
def module(request: pytest.FixtureRequest) -> nn.Module:
    return small(request.param)


def batch_of(num_negatives: int = 7) -> Batch:
    return as_double(make_batch(WORLD, num_negatives=num_negatives))


def prefixes(batch: Batch) -> list[Tensor]:
    length = batch.history.shape[1]
    return [batch.history[p // length, : p % length + 1] for p in batch.positions.tolist()]


def test_the_loss_equals_that_of_every_prefix_on_its_own(module: nn.Module) -> None:
    batch = batch_of()
    expected = []
    V = module.items(batch.texts)
    for read, target in zip(prefixes(batch), batch.targets.tolist(), strict=True):
        (U,) = module.users(V[read][None], torch.tensor([len(read) - 1]))
        rivals = [row for row in batch.negatives.tolist() if row != target]
        scores = V[[target, *rivals]] @ U
        expected.append(scores.logsumexp(0) - scores[0])
    assert any(t in batch.negatives.tolist() for t in batch.targets.tolist()), "some negatives are targets"
    torch.testing.assert_close(module(batch), torch.stack(expected).mean())
    torch.testing.assert_close(module(batch, batch_of(3)), (module(batch) + module(batch_of(3))) / 2)


def test_later_items_change_nothing(module: nn.Module) -> None:
    batch = batch_of()
    length, V = batch.history.shape[1], module.items(batch.texts)
    column = torch.arange(length)
    users = module.users(V[batch.history], batch.positions)
    for seen in range(length - 1):
        scrambled = torch.where(column > seen, batch.history.roll(1, 0), batch.history)
        other = module.users(V[scrambled], batch.positions)
        early = batch.positions % length <= seen
        torch.testing.assert_close(other[early], users[early])
        assert not torch.allclose(other[~early], users[~early])


def test_every_parameter_gets_a_gradient(module: nn.Module) -> None:
    module(batch_of()).backward()
    unmoved = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert unmoved == []


def test_dropout_acts_in_training_only() -> None:
    for method in SMALL:
        one = small(method, dropout=0.5)
        batch = batch_of()
        assert one(batch) == one(batch)
        one.train()
        assert one(batch) != one(batch)


@pytest.mark.parametrize("method", ["gru4rec", "sasrec"])
def test_users_start_at_the_last_item(method: str) -> None:
    torch.manual_seed(0)
    module = LEARNED[method].build(LEARNED[method].config(latent_dim=64, dropout=0.0), 64, 0, False).eval()
    texts = nn.functional.normalize(torch.randn(20, 64), dim=-1)
    module.start_from([texts])
    V = module.items(texts)
    torch.testing.assert_close(V @ V.mT, texts @ texts.mT, rtol=0, atol=1e-4)
    history = torch.arange(20).view(2, 10)
    U = module.users(V[history], torch.arange(20))
    assert ((U @ V.mT).argmax(1) == torch.arange(20)).all()


def test_gru4rec_without_carry_is_its_units_alone() -> None:
    module = small("gru4rec", carry=False)
    V = module.items(batch_of().texts)
    state, _ = module.f_seq.gru(8**0.5 * V[batch_of().history])
    expected = module.f_seq.out(state.flatten(0, 1)[batch_of().positions])
    torch.testing.assert_close(module.users(V[batch_of().history], batch_of().positions), expected)
    carried = small("gru4rec")
    carried.load_state_dict(module.state_dict(), strict=False)
    last = carried.f_seq.log_length.exp() * V[batch_of().last_items]
    torch.testing.assert_close(carried.users(V[batch_of().history], batch_of().positions), expected + last)


def test_the_item_network_starts_as_a_projection() -> None:
    torch.manual_seed(0)
    texts = WORLD.texts
    wide, linear = (ItemNetwork(6, 4, hidden=hidden, dropout=0.0) for hidden in (5, 0))
    wide.linear.load_state_dict(linear.linear.state_dict())
    assert torch.equal(wide(texts), linear(texts))
    nn.init.ones_(wide.contract.weight)
    hidden = nn.functional.gelu(texts * 6**0.5 @ wide.expand.weight.T + wide.expand.bias)
    torch.testing.assert_close(wide(texts), linear(texts) + hidden.sum(1, keepdim=True).expand(-1, 4))


def test_items_without_a_row_have_offset_zero() -> None:
    table = nn.Embedding(3, 2, sparse=True)
    rows = torch.tensor([2, -1, 0, 2])
    found = item_offsets(table, rows)
    assert torch.equal(found[[0, 2, 3]], table.weight[[2, 0, 2]])
    assert found[1].tolist() == [0.0, 0.0]
    assert torch.equal(item_offsets(table, rows[[0, 2]]), found[[0, 2]])


def test_a_negative_that_is_the_target_is_masked() -> None:
    batch = batch_of()
    module = small("sasrec")
    V = module.items(batch.texts)
    U = module.users(V[batch.history], batch.positions)
    other = dataclasses.replace(batch, negatives=torch.full((4,), int(batch.targets[0])))
    logits = torch.stack([(U * V[batch.targets]).sum(-1), *[U @ V[batch.targets[0]]] * 4], dim=1)
    same = batch.targets == batch.targets[0]
    logits[same, 1:] = -torch.inf
    torch.testing.assert_close(module(other), -logits.log_softmax(1)[:, 0].mean())

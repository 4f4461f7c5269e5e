"""The contrastive losses against sums written out, and the augmented sequences."""

from __future__ import annotations

import torch

from prerec_pyro.models.baselines.contrastive_loss import (
    drop_items,
    item_contrastive_loss,
    last_queries,
    sequence_contrastive_loss,
)
from tests.support.graphs import make_batch, make_encoded

WORLD = make_encoded("a", lengths=(9, 1, 5, 2, 7), num_items=12)


def brute(queries: torch.Tensor, positives: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    losses = []
    for i in range(len(queries)):
        others = [j for j in range(len(queries)) if j == i or targets[j] != targets[i]]
        scores = torch.stack([queries[i] @ positives[j] for j in others])
        losses.append(scores.logsumexp(0) - queries[i] @ positives[i])
    return torch.stack(losses).mean()


def test_both_losses_equal_the_sums_of_the_paper() -> None:
    torch.manual_seed(0)
    users, items = torch.randn(10, 4).double(), torch.randn(6, 4).double()
    targets = torch.tensor([0, 1, 1, 5, 3, 0, 0, 2, 5, 1])
    torch.testing.assert_close(item_contrastive_loss(users, items, targets), brute(users, items[targets], targets))
    short = torch.randn(10, 4).double()
    torch.testing.assert_close(sequence_contrastive_loss(users, short, targets), brute(users, short, targets))


def test_last_queries_are_at_the_last_positions() -> None:
    batch = make_batch(WORLD)
    length = batch.history.shape[1]
    expected = [max(p for p in batch.positions.tolist() if p // length == s) for s in range(len(batch.history))]
    assert batch.positions[last_queries(batch)].tolist() == expected


def test_an_augmented_sequence_keeps_order_and_last_item() -> None:
    batch = make_batch(WORLD)
    length = batch.history.shape[1]
    lengths = (batch.positions[last_queries(batch)] % length + 1).tolist()
    torch.manual_seed(0)
    kept = []
    for _ in range(300):
        short = drop_items(batch, 0.2)
        for row, position in enumerate(short.positions.tolist()):
            sequence, end = divmod(position, length)
            assert sequence == row
            whole, found = batch.history[row, : lengths[row]].tolist(), short.history[row, : end + 1].tolist()
            remaining = iter(whole)
            assert all(item in remaining for item in found), "in the same order"
            assert found[-1] == whole[-1]
            kept.append((len(found) - 1, lengths[row] - 1))
    share = sum(k for k, _ in kept) / sum(n for _, n in kept)
    assert abs(share - 0.8) < 0.02


def test_ratio_zero_drops_nothing() -> None:
    batch = make_batch(WORLD)
    short = drop_items(batch, 0.0)
    assert short.positions.tolist() == batch.positions[last_queries(batch)].tolist()
    length = batch.history.shape[1]
    for row, position in enumerate(short.positions.tolist()):
        end = position % length + 1
        assert short.history[row, :end].tolist() == batch.history[row, :end].tolist()

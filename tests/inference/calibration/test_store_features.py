"""`store_features` on stores whose features can be counted by hand."""

import itertools

import numpy as np
import pytest
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.inference.calibration.store_features import (
    STORE_FEATURES,
    UNITS,
    features_over_time,
    store_features,
)
from tests.support.graphs import make_encoded

TEXTS = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
DAY = 86_400


def features_of(domain: Domain) -> dict[str, float]:
    found = store_features(encode_domain(domain.with_embeddings(TEXTS))).numpy() * np.array(UNITS)
    return dict(zip(STORE_FEATURES, found.tolist(), strict=True))


def test_features_are_those_counted_by_hand() -> None:
    items = ["a", "b", "c", "d"]
    times = np.array([0, 1, 2, 3, 59]) * DAY
    domain = Domain("shop", items, items, ["ann", "bob"], [0, 3, 5], [0, 0, 1, 2, 0], timestamps=times)
    found = features_of(domain)
    assert found["items"] == pytest.approx(np.log(4))
    assert found["likeness"] == pytest.approx(0.25**2 + 0.25**2)
    assert found["variants"] == pytest.approx((1.0 + 1.0 + 0.0 + 0.0) / 4, abs=1e-6)
    assert found["length"] == pytest.approx(np.log(2.5))
    assert found["turnover"] == pytest.approx(np.log(5 / (4.0 * 4)))  # 60 days are four windows
    counts = np.array([0, 1, 1, 3])
    assert found["gini"] == pytest.approx(np.abs(counts[:, None] - counts).sum() / (2 * 16 * counts.mean()))
    assert found["repeats"] == pytest.approx(np.log(1 / 5 + 0.002))
    assert found["order"] == 0.0
    # Ann read a, a and b, Bob c and a: of the two pairs of different items in succession, all cosines being
    # 1, 0, -1, 0, -1, 0, one has the cosine 1 and one 0.
    others = np.array([1, 0, -1, 0, -1, 0])
    likeness = (0.5 - others.mean()) / others.std()
    assert found["succession"] == pytest.approx(np.log(likeness + 0.1), abs=1e-5)
    # No history is so long that items stand 4 to 8 places apart, five more than those in succession.
    assert found["fading"] == pytest.approx(np.log(-np.log(0.1 / (likeness + 0.1)) / 5), abs=1e-5)


def test_a_person_who_stays_with_a_kind_is_told_from_one_who_moves_on() -> None:
    items = [f"i{number}" for number in range(40)]
    texts = np.repeat(np.eye(5), 8, axis=0) + 0.01 * np.random.default_rng(0).standard_normal((40, 5))
    stays = [*range(40)]
    moves = [8 * kind + 2 * round_ + place for round_ in range(4) for kind in range(5) for place in range(2)]
    found = []
    for history in (stays, moves):
        domain = Domain("shop", items, items, ["ann"], [0, len(history)], history).with_embeddings(texts)
        features = store_features(encode_domain(domain)).numpy() * np.array(UNITS)
        found.append(dict(zip(STORE_FEATURES, features.tolist(), strict=True)))
    assert found[0]["fading"] < found[1]["fading"]
    assert found[0]["succession"] > found[1]["succession"]


def test_a_log_without_times_says_so() -> None:
    domain = Domain("shop", ["a", "b", "c", "d"], [""] * 4, ["ann"], [0, 3], [0, 1, 2])
    assert features_of(domain)["order"] == 1.0
    assert features_of(domain)["turnover"] == pytest.approx(np.log(3 / 4))


def test_a_store_without_a_log_has_features_of_its_catalogue_alone() -> None:
    domain = Domain("bare", ["a", "b", "c", "d"], [""] * 4, [], [0], [])
    found = features_of(domain)
    assert [name for name, value in found.items() if np.isnan(value)] == [*STORE_FEATURES][3:]


def cut_before(encoded, slot: int) -> Domain:
    """The same catalogue with the events of earlier slots alone."""
    frame = encoded.domain.interactions_frame()[encoded.slots < slot]
    cut = Domain.from_tables(frame, encoded.domain.items_frame(), name="cut")
    return cut.with_embeddings(encoded.domain.embeddings)


def test_features_at_a_time_are_those_of_the_log_before_it(monkeypatch) -> None:
    monkeypatch.setattr("prerec_pyro.inference.calibration.store_features.FIRST_EVENTS", 8)
    encoded = make_encoded("shop", num_items=20, lengths=(9, 3, 5, 8, 6, 7, 12, 5))
    since, values = features_over_time(encoded)
    assert len(since) >= 2
    assert len(values) == len(since) + 1
    assert values[0, 3:].isnan().all()
    for slot, row in zip(since, values[1:], strict=True):
        torch.testing.assert_close(row, store_features(encode_domain(cut_before(encoded, slot))))
    events = [int((encoded.slots < slot).sum()) for slot in since]
    assert events[0] >= 8
    assert all(later >= 2 * earlier for earlier, later in itertools.pairwise(events))


def test_a_log_without_times_has_features_of_all_of_it() -> None:
    domain = Domain("shop", ["a", "b", "c", "d"], [""] * 4, ["ann"], [0, 3], [0, 1, 2])
    encoded = encode_domain(domain.with_embeddings(TEXTS))
    since, values = features_over_time(encoded)
    assert len(since) == 0
    assert torch.equal(values, store_features(encoded)[None])


def test_whitening_makes_no_difference() -> None:
    encoded = make_encoded("shop", num_items=20, lengths=(9, 3, 5, 8, 6, 7, 12, 5))
    expected = store_features(
        encode_domain(
            Domain.from_tables(
                encoded.domain.interactions_frame(), encoded.domain.items_frame(), name="again"
            ).with_embeddings(encoded.domain.embeddings)
        )
    )
    assert not torch.equal(encoded.whitened(0.5).texts, encoded.texts)
    torch.testing.assert_close(store_features(encoded.whitened(0.5)), expected)

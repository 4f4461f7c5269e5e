from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.data.popularity import OTHER_WINDOWS
from prerec_pyro.data.text.whitening import whiten
from prerec_pyro.errors import InputError
from tests.support.graphs import make_domain


def test_given_embeddings_need_no_encoder(timed: EncodedDomain) -> None:
    assert timed.texts.dtype == torch.float32
    np.testing.assert_array_equal(timed.texts, timed.domain.embeddings)
    assert (timed.name, timed.num_items) == ("timed", 12)


def test_embeddings_may_be_read_only() -> None:
    array = np.eye(12, 6, dtype=np.float32)
    array.setflags(write=False)  # such as a memory map
    encoded = encode_domain(make_domain().with_embeddings(array))
    np.testing.assert_array_equal(encoded.texts, array)


def test_slots_belong_to_the_days_of_the_events(timed: EncodedDomain) -> None:
    days = timed.domain.days
    assert timed.slots.shape == (timed.domain.num_interactions,)
    assert timed.slots.tolist() == timed.popularity.slots(days).tolist()
    assert timed.slots.min() == 0
    item, day = timed.domain.item_index[-1], days[-1]
    before = (timed.domain.item_index == item) & (days < day) & (days >= day - 15)
    assert timed.popularity.counts(item, timed.slots[-1]) == before.sum()


def test_a_domain_without_times_has_one_slot(untimed: EncodedDomain) -> None:
    assert untimed.popularity.is_static
    assert untimed.slots.tolist() == [1] * untimed.domain.num_interactions
    counts = untimed.popularity.counts(np.arange(12), 1)
    assert counts.tolist() == np.bincount(untimed.domain.item_index, minlength=12).tolist()


def test_settings_reach_the_popularity_index() -> None:
    encoded = encode_domain(make_domain(), window=3, normalizer="active")
    assert (encoded.popularity.window, encoded.popularity.normalizer) == (3, "active")
    default = encode_domain(make_domain())
    assert (default.popularity.window, default.popularity.normalizer) == (15, "catalogue")


def test_embeddings_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(3, 6\); expected \(12, text_dim\)"):
        make_domain().with_embeddings(np.zeros((3, 6)))


def test_whitened_texts_are_computed_once_and_not_whitened_again():
    encoded = encode_domain(make_domain())
    white = encoded.whitened(0.5)
    assert torch.equal(white.texts, whiten(encoded.texts, 0.5))
    assert encoded.whitened(0.5) is white
    assert white.whitened(0.5) is white
    assert encoded.whitened(0.0) is encoded
    assert white.popularity is encoded.popularity
    with pytest.raises(ValueError, match="already"):
        white.whitened(0.25)


def test_other_windows_are_counted_once_and_kept_by_whitening() -> None:
    encoded = encode_domain(make_domain(), window=7)
    assert encoded.other_windows == OTHER_WINDOWS
    assert [one.window for one in encoded.other_popularity] == list(OTHER_WINDOWS)
    first = encoded.other_popularity
    assert all(one is again for one, again in zip(first, encoded.whitened(0.5).other_popularity, strict=True))
    few = encoded.with_other_windows((60,))
    assert few.other_popularity == [first[1]], "what has been counted is shared"
    assert few.popularity is encoded.popularity
    assert encoded.with_other_windows(OTHER_WINDOWS) is encoded
    assert encoded.with_other_windows(()).other_popularity == []
    white = few.whitened(0.5)
    assert (white.other_windows, encoded.whitened(0.5).other_windows) == ((60,), OTHER_WINDOWS)
    assert torch.equal(white.texts, encoded.whitened(0.5).texts)


def test_covariates_are_tensors_computed_once_and_kept_by_whitening() -> None:
    assert encode_domain(make_domain()).covariates == {}
    price = np.arange(12, dtype=np.float64)
    encoded = encode_domain(make_domain().with_item_covariates(price=price))
    assert list(encoded.covariates) == ["price"]
    assert encoded.covariates["price"].dtype == torch.float32
    np.testing.assert_array_equal(encoded.covariates["price"], price)
    assert encoded.covariates is encoded.covariates
    np.testing.assert_array_equal(encoded.whitened(0.5).covariates["price"], price)

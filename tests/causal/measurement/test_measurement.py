"""Settings of a measurement: users, options that methods pass on, and refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from prerec_pyro.causal.measurement.measurement import Measurement, MeasurementOptions, item_tenths
from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from tests.support.models import small_encoded


def test_options_are_the_fields_of_a_measurement():
    fields = {field.name: field.type for field in dataclasses.fields(Measurement)}
    assert {name: hint.__forward_arg__ for name, hint in MeasurementOptions.__annotations__.items()} == fields


def test_users_are_those_of_the_split_unless_they_are_given():
    encoded = small_encoded()
    expected = split_users(encoded.domain, 5).validation
    assert Measurement(split="validation", split_seed=5).user_rows(encoded).tolist() == expected.tolist()
    assert Measurement(users=np.array([3, 1])).user_rows(encoded).tolist() == [3, 1]


def test_facts_name_no_split_for_given_users():
    encoded = small_encoded()
    measurement = Measurement(users=np.array([3, 1]), k_percent=20.0, draws=10)
    queries, _ = measurement.rank(lambda batch: [batch.counts[batch.slot].float()], 1, encoded)
    facts = measurement.facts(encoded, queries)
    assert (facts["split"], facts["split_seed"], facts["num_users"]) == (None, None, 2)
    assert facts["list_size"] == encoded.num_items


def test_tenths_follow_the_interactions_of_the_whole_log():
    encoded = small_encoded()
    counts = np.bincount(encoded.domain.item_index, minlength=encoded.num_items)
    tenths = item_tenths(encoded)
    assert (np.diff(tenths[np.argsort(counts, kind="stable")]) >= 0).all()
    assert (tenths.min(), tenths.max()) == (0, 9)


@pytest.mark.parametrize("name", ["list_size", "draws"])
def test_settings_below_one_are_refused(name):
    with pytest.raises(InputError, match=f"{name} is 0, expected 1 or more"):
        Measurement(**{name: 0})

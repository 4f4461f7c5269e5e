from __future__ import annotations

import dataclasses

import pytest

from prerec_pyro.data.batching.batch import Batch, catalogue_batch
from prerec_pyro.data.encoded import EncodedDomain
from tests.support.graphs import all_windows, as_double, make_batch


@pytest.fixture(params=["training", "catalogue"])
def batch(request: pytest.FixtureRequest, timed: EncodedDomain) -> Batch:
    """All queries of a domain against 7 negatives, some drawn twice and some a target, or against all items."""
    if request.param == "training":
        return as_double(make_batch(timed, domain=1))
    return as_double(dataclasses.replace(catalogue_batch(timed, all_windows(timed))[0], domain=1))

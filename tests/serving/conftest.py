"""A model and a domain on disk, made once for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from prerec_pyro.serving.arrow import ListRequest
from tests.support.models import prerec, small_domain, training


@pytest.fixture(scope="session")
def list_request(tmp_path_factory: pytest.TempPathFactory) -> ListRequest:
    folder = tmp_path_factory.mktemp("serving")
    prerec(training=training(epochs=1), device="cpu").fit([small_domain("a"), small_domain("b", seed=1)]).save(
        folder / "model"
    )
    small_domain("c", seed=2).save(folder / "shop")
    return ListRequest(model=str(folder / "model"), domain=str(folder / "shop"), top_k=4)


@pytest.fixture
def users(list_request: ListRequest) -> list[str]:
    from prerec_pyro.data.domain import Domain

    return Domain.load(Path(list_request.domain)).user_ids.tolist()

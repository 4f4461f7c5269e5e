"""Recommenders to measure, and the encodings that they share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from prerec_pyro.cli.evaluation.entries import BASELINES, Encodings, Entry, Intervened, baseline, baseline_model
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.newcomers import NewcomerPopularity
from prerec_pyro.inference.trained_domains import NEWCOMERS
from prerec_pyro.recommenders.prerec import PreRec


def test_models_with_the_same_window_share_an_encoding(shop2: Domain) -> None:
    encodings = Encodings(shop2)
    first = encodings.of(PreRec(device="cpu"))
    assert encodings.of(PreRec(device="cpu")) is first
    assert encodings.of(PreRec(window=2, device="cpu")) is not first


def test_models_with_other_newcomers_share_none(shop2: Domain) -> None:
    encodings = Encodings(shop2)
    models = [PreRec(device="cpu") for _ in range(3)]
    for model, unseen in zip(models, (0.1, 0.2, 0.1), strict=True):
        learnt = NewcomerPopularity(np.ones(15), unseen, 2)
        model.sources.nodes[NEWCOMERS] = torch.from_numpy(learnt.as_array())
    one, other, same = (encodings.of(model) for model in models)
    assert one.newcomers.learnt.unseen == pytest.approx(0.1)
    assert other.newcomers.learnt.unseen == pytest.approx(0.2)
    assert same is one
    assert encodings.of(PreRec(device="cpu")).newcomers is None


def test_facts_name_the_model_and_the_intervention(model: Path) -> None:
    trained = PreRec.load(model, "cpu")
    entry = Entry(Intervened(trained, {"Z": "mean"}), trained, model)
    assert entry.label == f"prerec ({model})"
    assert entry.facts({"Z": "mean"}) == {"model": str(model), "do": {"Z": "mean"}}
    assert entry.facts({}) == {"model": str(model)}


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_have_no_facts(name: str) -> None:
    entry = Entry(baseline(name), PreRec(device="cpu"))
    assert (entry.label, entry.facts({"Z": 0.0})) == (name, {})


def test_the_baselines_encode_as_the_first_model_does(shop2: Domain) -> None:
    active = PreRec(normalizer="active", device="cpu")
    assert baseline_model([active], shop2, None, 7, "cpu").normalizer == "active"
    assert baseline_model([], shop2, None, 7, "cpu").window == 7

"""Model folders of format 5, whose extended graph had one interest and one popularity window."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from prerec_pyro.models.graphs.config import ExtendedConfig
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.registry import load_model
from tests.support.models import EveryPath, graph_config, prerec, shaken, small_domain, training

A, NEW = small_domain("a", seed=1), small_domain("new", num_items=10, seed=3)
THEN: dict[str, Any] = {"num_interests": 1, "popularity_windows": False}


def write_format_5(model: PreRec, folder: Path) -> Path:
    """Write a model in the form of format 5, without settings that came later."""
    model.save(folder)
    config, manifest = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "manifest"))
    config["graph"] = {name: value for name, value in config["graph"].items() if name not in THEN}
    (folder / "config.json").write_text(json.dumps(config | {"format_version": 5}))
    manifest["files"]["config.json"] = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format_version": 5}))
    return folder


@pytest.fixture(scope="module")
def model() -> PreRec:
    return shaken(prerec(graph_config("extended", **THEN), training=training(epochs=1)).fit([A]))


@pytest.mark.parametrize("domain", [A, NEW], ids=["trained", "zero-shot"])
def test_a_model_ranks_as_it_did(model: PreRec, tmp_path: Path, domain: Any) -> None:
    folder = write_format_5(model, tmp_path / "m")
    read = load_model(folder, device="cpu")
    assert read.config == model.config
    assert not any("interests" in name or "others" in name for name in load_file(folder / "weights.safetensors"))
    assert read.sources.nodes["D"].shape == (1, 4)
    assert read.graph.domain_widths["S"] == 4
    pd.testing.assert_frame_equal(read.recommend(domain), model.recommend(domain), check_exact=True)


def test_what_is_read_is_saved_in_the_current_format(model: PreRec, tmp_path: Path) -> None:
    PreRec.load(write_format_5(model, tmp_path / "m"), device="cpu").save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["format_version"], {name: config["graph"][name] for name in THEN}) == (6, THEN)
    again = PreRec.load(tmp_path / "m", device="cpu")
    pd.testing.assert_frame_equal(again.recommend(NEW), model.recommend(NEW), check_exact=True)


def test_it_can_be_calibrated_and_fine_tuned(model: PreRec, tmp_path: Path) -> None:
    read = PreRec.load(write_format_5(model, tmp_path / "m"), device="cpu")
    encoded = read.encode(NEW)
    assert read.calibrate(encoded, encoded.domain.user_of_event).values.shape[1] == 4
    tuned = read.fine_tune(NEW, training=training(epochs=1))
    assert tuned.config == read.config
    assert torch.isfinite(tuned.scorer(encoded).item_vectors_at_end()).all()


@pytest.mark.parametrize("name", ["paper", "unconfounded"])
def test_the_graphs_of_the_paper_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    own = prerec(name, training=training(epochs=0)).fit([A])
    read = PreRec.load(write_format_5(own, tmp_path / "m"), device="cpu")
    assert read.config == own.config
    pd.testing.assert_frame_equal(read.recommend(NEW), own.recommend(NEW), check_exact=True)


def test_a_graph_of_ones_own_with_the_settings_of_the_extended_one(tmp_path: Path) -> None:
    class Old(EveryPath):
        """A graph with the edges that the extended one had."""

        edges = EveryPath.edges | {"U": "DV"}

    own = prerec(Old, training=training(epochs=0))
    own.config = graph_config("extended", **THEN)
    folder = write_format_5(own.fit([A]), tmp_path / "m")
    assert PreRec.load(folder, device="cpu", graph=Old).config == ExtendedConfig(**own.config.model_dump())

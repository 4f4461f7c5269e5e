"""Model folders of format 4, in which switches chose the graph: read where they make one of the three, else refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from prerec_pyro.data.batching.batch import catalogue_batch
from prerec_pyro.data.batching.windows import exact_windows
from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.registry import graph_name
from prerec_pyro.models.priors import Priors
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.registry import load_model
from tests.support.graph_0_1 import Graph01
from tests.support.models import PRIORS, graph_config, prerec, shaken, small_domain, training

A, B = small_domain("a", seed=1), small_domain("b", num_items=9, seed=2)
NEW = small_domain("new", num_items=10, seed=3)
DEFAULTS = {
    "confounders": True,
    "domain_to_item": False,
    "popularity_to_item": False,
    "item_to_user": True,
    "repeats": True,
    "wandering": True,
    "strengths": True,
}
PLAIN = {"repeats": False, "wandering": False, "strengths": False}
PAPER = {"domain_to_item": True, "popularity_to_item": True, **PLAIN}
UNCONFOUNDED = {"confounders": False, "item_to_user": False, "repeats": False, "wandering": False}
# Parameters that had other names, as they were written.
OLD_NAMES = {f"graph.likelihood.{name}": f"graph.{name}" for name in ("w_h", "w_r", "w_o", "spread")}
FREE = ["D", "V"]  # the default then, also of a model without D


@pytest.fixture(scope="module")
def models() -> dict[str, PreRec]:
    names = ("extended", "paper", "unconfounded")
    then = {"num_interests": 1, "popularity_windows": False}
    graphs = {name: graph_config(name, **(then if name == "extended" else {})) for name in names}
    return {name: shaken(prerec(graph, training=training(epochs=1)).fit([A, B])) for name, graph in graphs.items()}


def write_format_4(model: PreRec, folder: Path, switches: dict[str, bool], **changes: Any) -> Path:
    """Write a model as version 0.1.0 did, whatever its switches say."""
    model.save(folder)
    weights = {OLD_NAMES.get(name, name): value for name, value in load_file(folder / "weights.safetensors").items()}
    config = json.loads((folder / "config.json").read_text())
    later = ("name", "num_interests", "popularity_windows")
    shapes = {name: value for name, value in config["graph"].items() if name not in later}
    config |= {"format_version": 4, "graph": shapes | DEFAULTS | switches, "priors": PRIORS.to_config(), "free": FREE}
    config |= changes
    manifest = json.loads((folder / "manifest.json").read_text())
    method = "prerec" if config["graph"]["confounders"] else "prerec_n"
    rewrite(folder, weights, config, manifest | {"format_version": 4, "method": method})
    return folder


def rewrite(folder: Path, weights: dict[str, torch.Tensor], config: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Write the three files of a model folder, with their checksums."""
    save_file(weights, folder / "weights.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    names = ("weights.safetensors", "config.json")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": files}))


@pytest.mark.parametrize(
    ("graph", "switches", "name"),
    [
        ("extended", {}, "prerec"),
        ("paper", PAPER, "prerec_paper"),
        ("paper", PAPER | {"item_to_user": False}, "prerec_paper"),
        ("unconfounded", UNCONFOUNDED, "prerec_n"),
        ("unconfounded", UNCONFOUNDED | {"domain_to_item": True, "strengths": False}, "prerec_n"),
    ],
    ids=["extended", "paper", "paper without V → U", "unconfounded", "unconfounded, other switches without effect"],
)
@pytest.mark.parametrize("domain", [A, NEW], ids=["trained", "zero-shot"])
def test_a_model_of_one_of_the_three_graphs_ranks_as_it_did(models, tmp_path, graph, switches, name, domain) -> None:
    folder = write_format_4(models[graph], tmp_path / "m", switches)
    read = load_model(folder, device="cpu")
    assert (read.name, graph_name(read.graph_class)) == (name, graph)
    pd.testing.assert_frame_equal(read.recommend(domain), models[graph].recommend(domain), check_exact=True)


def test_the_scores_are_those_of_the_graph_that_wrote_it(models, tmp_path) -> None:
    """The weights in the folder, under their names of then, in the frozen program of version 0.1.0."""
    folder = write_format_4(models["extended"], tmp_path / "m", {})
    read, written = PreRec.load(folder, device="cpu"), load_file(folder / "weights.safetensors")
    del read.sources.nodes["S_sources"]  # what S of a new store is predicted from, which 0.1.0 did not keep
    weights = {name.removeprefix("graph."): value for name, value in written.items() if name.startswith("graph.")}
    scales = {node: getattr(PRIORS, node).scale for node in "DSZVU"}
    program = Graph01(weights, scales, num_domains=2, num_heads=2)
    encoded = read.encode(NEW)
    batch, _ = catalogue_batch(encoded.whitened(read.whitening), exact_windows(NEW.offsets, np.arange(NEW.num_users)))
    text = batch.texts @ weights["f_e.linear.weight"].T
    D, S = torch.zeros(4), torch.zeros(1, 4)
    Z = torch.relu(batch.factors.log1p() @ weights["f_pop.linear.weight"].T + weights["f_pop.linear.bias"])
    U = program.f_seq(D, text[batch.history], batch.positions)
    expected = program.logits(U, text, D, Z, S, batch)
    torch.testing.assert_close(read.scorer(encoded)(batch), expected, rtol=0, atol=1e-6)


def test_what_is_read_is_saved_in_the_current_format(models, tmp_path) -> None:
    for name, switches in (("extended", {}), ("paper", PAPER), ("unconfounded", UNCONFOUNDED)):
        read = PreRec.load(write_format_4(models[name], tmp_path / name, switches), device="cpu")
        read.save(tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config["format_version"] == 6
        assert config["graph"]["name"] == name
        assert not set(DEFAULTS) & set(config["graph"])
        again = PreRec.load(tmp_path / name, device="cpu")
        pd.testing.assert_frame_equal(again.recommend(NEW), models[name].recommend(NEW), check_exact=True)
        assert again.history == models[name].history


def test_settings_of_nodes_that_were_switched_off_are_left_out(models, tmp_path) -> None:
    priors = PRIORS.to_config() | {"D": {"family": "normal", "scale": 0.7}, "W_z": {"family": "normal", "scale": 1.0}}
    folder = write_format_4(
        models["unconfounded"], tmp_path / "m", UNCONFOUNDED, priors=priors, free=["D", "S", "V", "W_z"]
    )
    read = PreRec.load(folder, device="cpu")
    assert read.free == {"V"}
    assert (read.priors.V, read.priors.U) == (PRIORS.V, PRIORS.U)
    assert read.priors.D == Priors().D
    assert read.priors.W_z is None


@pytest.mark.parametrize(
    ("graph", "switches", "odd"),
    [
        ("unconfounded", {"confounders": False}, "confounders=false"),  # what was called PreRec_n
        ("extended", {"repeats": False}, "repeats=false"),
        ("extended", {"wandering": False}, "wandering=false"),
        ("extended", {"strengths": False}, "strengths=false"),
        ("extended", {"domain_to_item": True}, "domain_to_item=true"),
        ("extended", {"popularity_to_item": True}, "popularity_to_item=true"),
        ("extended", {"item_to_user": False}, "item_to_user=false"),
        ("paper", PLAIN | {"domain_to_item": True}, "popularity_to_item=false"),
        ("unconfounded", UNCONFOUNDED | {"wandering": True}, "wandering=true"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hybrid_is_refused_with_the_switch_that_makes_it_one(models, tmp_path, graph, switches, odd) -> None:
    folder = write_format_4(models[graph], tmp_path / "m", switches)
    with pytest.raises(InputError, match=rf"m: was trained with {odd}, which is none of the graphs of this version"):
        load_model(folder, device="cpu")


def test_a_folder_without_a_switch_is_none(models, tmp_path) -> None:
    folder = write_format_4(models["extended"], tmp_path / "m", {})
    config, manifest = (json.loads((folder / name).read_text()) for name in ("config.json", "manifest.json"))
    del config["graph"]["wandering"]
    rewrite(folder, load_file(folder / "weights.safetensors"), config, manifest)
    with pytest.raises(InputError, match=r"is not a PreRec model that this version reads \('wandering'\)"):
        PreRec.load(folder, device="cpu")


def test_an_older_format_is_refused(models, tmp_path) -> None:
    folder = write_format_4(models["extended"], tmp_path / "m", {})
    manifest = json.loads((folder / "manifest.json").read_text()) | {"format_version": 3}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="format version 3, this prerec-pyro reads 4, 5, 6; train the model again"):
        load_model(folder, device="cpu")

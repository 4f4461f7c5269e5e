"""A portable copy scores, learns and infers as the whole model does in a new domain, and holds nothing of a source."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration.store_features import STORE_FEATURES
from prerec_pyro.inference.trained_domains import STORES
from prerec_pyro.models.priors import LogNormal, Normal, Priors
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.pretrained.export import portable_copy
from tests.support.models import EVERY_GRAPH, PRIORS, prerec, shaken, small_domain, training

A, B = small_domain("alpha-store", seed=1), small_domain("beta-store", num_items=9, seed=2)
NEW = small_domain("new", num_items=10, num_users=40, seed=3)


@pytest.fixture(scope="module")
def model() -> PreRec:
    return shaken(prerec().fit([A, B]))


@pytest.fixture(scope="module")
def folder(model: PreRec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "tiny"
    model.export(out)
    return out


@pytest.fixture
def portable(folder: Path) -> PreRec:
    return PreRec.from_pretrained(folder, device="cpu")


def scores(model: PreRec, domain: EncodedDomain) -> pd.Series:
    table = model.recommend(domain, k=domain.num_items, seen="keep")
    return table.set_index(["user_id", "item_id"])["score"].sort_index()


@pytest.mark.parametrize("graph", EVERY_GRAPH, ids=lambda graph: graph.__name__)
def test_scores_of_a_new_domain_are_those_of_the_whole_model(graph, tmp_path: Path) -> None:
    """Bit for bit in float32, and in float16 those of the model with its matrices rounded."""
    whole = shaken(prerec(graph).fit([A, B]))
    encoded = whole.encode(NEW)
    given = {"graph": graph} if graph.__name__ in ("EveryPath", "PlainGraph") else {}
    whole.export(tmp_path / "exact", dtype="float32")
    exact = scores(whole, encoded)
    assert exact.nunique() > 20
    pd.testing.assert_series_equal(scores(PreRec.load(tmp_path / "exact", "cpu", **given), encoded), exact, rtol=0)
    whole.export(tmp_path / "half")
    half = scores(PreRec.load(tmp_path / "half", "cpu", **given), encoded)
    pd.testing.assert_series_equal(half, exact, atol=0.02, rtol=0.01)
    assert not half.equals(exact)
    for parameter in whole.graph.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.half().float()
    pd.testing.assert_series_equal(half, scores(whole, encoded), rtol=0)


def test_a_lifted_weight_and_a_random_scale_are_kept(tmp_path: Path) -> None:
    priors = Priors(D=Normal(LogNormal(0.1, 1.0)), W_z=Normal(0.5), V=PRIORS.V, U=PRIORS.U)
    whole = shaken(prerec(priors=priors).fit([A, B]))
    whole.export(tmp_path / "exact", dtype="float32")
    loaded = PreRec.from_pretrained(tmp_path / "exact", device="cpu")
    assert set(loaded.sources.nodes) == {"W_z", "D_scale", *STORES}
    encoded = whole.encode(NEW)
    pd.testing.assert_series_equal(scores(loaded, encoded), scores(whole, encoded), rtol=0)


def test_every_domain_is_new_to_it(model: PreRec, portable: PreRec) -> None:
    assert model.sources.row(A) == 0
    assert [portable.sources.row(domain) for domain in (A, B, NEW)] == [None] * 3
    assert set(portable.sources.nodes) == set(STORES), "what S of a new store is predicted from"
    assert "trained on alpha-store, beta-store" in repr(portable)


def test_the_files_hold_nothing_of_a_source_but_its_name_size_and_features(model: PreRec, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        *("weights.safetensors", "config.json", "manifest.json", "MODEL_CARD.md")
    }
    weights = load_file(folder / "weights.safetensors")
    others = {name: tuple(value.shape) for name, value in weights.items() if not name.startswith("graph.")}
    assert others == {"map.S_sources": (2, 6), "map.S_features": (2, len(STORE_FEATURES))}
    assert {v.dtype for name, v in weights.items() if name.startswith("graph.") and v.ndim > 1} == {torch.float16}
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    for domain in (A, B):
        for text in (domain.fingerprint, domain.item_ids[3], domain.user_ids[3], domain.item_texts[3]):
            assert str(text).encode() not in content
    manifest = json.loads((folder / "manifest.json").read_text())
    sizes = [{k: one[k] for k in ("name", "num_items", "num_interactions")} for one in manifest["domains"]]
    assert sizes == [{"name": d.name, "num_items": d.num_items, "num_interactions": d.num_interactions} for d in (A, B)]
    assert manifest["portable"] is True
    assert model.facts["domains"][0]["fingerprint"] == A.fingerprint, "the model itself does not change"
    assert "portable" not in model.facts


def test_it_is_calibrated_as_the_whole_model_is(model: PreRec, portable: PreRec) -> None:
    encoded = portable.encode(NEW)
    ours, theirs = CalibratedPreRec(model), CalibratedPreRec(portable)
    assert ours.calibration(encoded).values.abs().max() > 0.05
    assert torch.allclose(ours.calibration(encoded).values, theirs.calibration(encoded).values, atol=0.05)


def test_it_is_fine_tuned_as_the_whole_model_is(model: PreRec, tmp_path: Path) -> None:
    model.export(tmp_path / "exact", dtype="float32")
    loaded = PreRec.from_pretrained(tmp_path / "exact", device="cpu")
    ours, theirs = (one.fine_tune(NEW, training=training(epochs=1)) for one in (model, loaded))
    encoded = ours.encode(NEW)
    pd.testing.assert_series_equal(scores(theirs, encoded), scores(ours, encoded), rtol=0)
    assert theirs.sources.row(NEW) == 0
    theirs.export(tmp_path / "tuned")
    manifest = json.loads((tmp_path / "tuned" / "manifest.json").read_text())
    assert [one["name"] for one in manifest["fine_tuned_from"]["domains"]] == ["alpha-store", "beta-store"]
    assert NEW.fingerprint not in json.dumps(manifest)


def test_it_has_a_posterior_in_a_new_domain(portable: PreRec) -> None:
    posterior = portable.posterior(NEW, "laplace", draws=20, queries=40)
    assert posterior.draws["D"].shape[-1] == portable.config.latent_dim
    assert posterior.draws["D"].std() > 0


def test_it_can_be_saved_and_loaded_again(portable: PreRec, tmp_path: Path) -> None:
    portable.save(tmp_path / "again")
    again = PreRec.load(tmp_path / "again", device="cpu")
    encoded = portable.encode(NEW)
    pd.testing.assert_series_equal(scores(again, encoded), scores(portable, encoded), rtol=0)
    assert again.facts == portable.facts


def test_a_trained_model_saves_its_ids_as_before(model: PreRec, tmp_path: Path) -> None:
    model.save(tmp_path / "whole")
    assert PreRec.load(tmp_path / "whole", device="cpu").sources.row(A) == 0


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_copy_is_refused_in_one_sentence(folder: Path, tmp_path: Path, damage: str) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-3] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(data if damage == "flip" else data[:-20])
    with pytest.raises(InputError, match=r"weights\.safetensors: damaged or changed since it was written") as refused:
        PreRec.from_pretrained(tmp_path, device="cpu")
    assert "\n" not in str(refused.value)


def test_what_cannot_be_exported_is_refused(model: PreRec, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this model is not trained"):
        prerec().export(tmp_path / "new")
    with pytest.raises(InputError, match=r"dtype 'int8': expected 'float16'"):
        model.export(tmp_path / "new", dtype="int8")
    with pytest.raises(InputError, match=r"notes: 'shop' is no source of this model; expected some of alpha-store"):
        model.export(tmp_path / "new", notes={"shop": {"terms": "MIT"}})
    with pytest.raises(InputError, match=r"notes: alpha-store: there is no 'licence'; expected some of terms"):
        model.export(tmp_path / "new", notes={"alpha-store": {"licence": "MIT"}})
    assert not (tmp_path / "new").exists()


def test_a_number_beyond_half_precision_is_refused(model: PreRec) -> None:
    saved = model._contents()
    weight = saved.graph.f_e.linear.weight
    before = weight.data.clone()
    weight.data[0, 0] = 1e6
    try:
        with pytest.raises(InputError, match=r"f_e\.linear\.weight holds numbers that float16 cannot hold"):
            portable_copy(saved, "float16")
        portable_copy(saved, "float32")
    finally:
        weight.data = before

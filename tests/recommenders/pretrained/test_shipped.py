"""Names of shipped models: found, preferred to a folder of that name, and listed where nothing is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from prerec_pyro.errors import InputError
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.pretrained import shipped
from prerec_pyro.recommenders.pretrained.shipped import find_model, model_folder, model_hash, model_label, shipped_names
from prerec_pyro.recommenders.registry import load_model
from tests.support.models import prerec, small_domain, training


@pytest.fixture
def ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that ships ``base``; the working folder holds another model called so."""
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "package")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    prerec(training=training(epochs=0)).fit([small_domain("a")]).export(tmp_path / "package" / "base")
    prerec(training=training(epochs=0, seed=5)).fit([small_domain("b")]).save("base")
    return tmp_path / "package" / "base"


def test_a_name_means_the_shipped_model_and_a_path_the_folder(ships: Path) -> None:
    assert shipped_names() == ("base",)
    assert find_model("base") == ships
    assert find_model("./base") == Path("base")
    assert PreRec.from_pretrained("base", device="cpu").facts["domains"][0]["name"] == "a"
    assert load_model("base", device="cpu").facts["domains"][0]["name"] == "a"
    for path in ("./base", Path("base"), Path("base").absolute(), str(Path("base").absolute())):
        assert PreRec.from_pretrained(path, device="cpu").facts["domains"][0]["name"] == "b"
        assert load_model(path, device="cpu").facts["domains"][0]["name"] == "b"


def test_a_label_leads_back_to_its_folder(ships: Path) -> None:
    for folder, label in ((ships, "base"), (Path("base"), "./base"), (Path("models/base"), "models/base")):
        assert model_label(folder) == label
        assert find_model(label) == folder


def test_what_is_neither_is_refused_with_the_names(ships: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = r"^bose: there is no such model folder, and this installation ships the model base; give a folder made by"
    for find in (model_folder, PreRec.from_pretrained, load_model):
        with pytest.raises(InputError, match=says):
            find("bose")
    monkeypatch.setattr(shipped, "SHIPPED", ships / "nothing")
    with pytest.raises(InputError, match=r"^open: there is no such model folder, and this installation ships no model"):
        model_folder("open")


def test_the_hash_is_that_of_the_numbers_and_settings(ships: Path) -> None:
    before = model_hash(ships)
    (ships / "MODEL_CARD.md").write_text("edited")
    assert model_hash(ships) == before != model_hash(Path("base"))
    (ships / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"manifest\.json: damaged or missing"):
        model_hash(ships)

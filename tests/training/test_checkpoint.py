"""A model on disk: whole, unchanged and unpickled, or one message that says what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from prerec_pyro.errors import InputError
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training import checkpoint
from prerec_pyro.training.checkpoint import load_model, load_progress, save_model, save_progress
from tests.support.models import graph_config, shaken, small_domain, training

FILES = ("weights.safetensors", "config.json", "manifest.json")
WEIGHTS = {
    "a": torch.tensor([1.0, -0.0, float("inf"), 1e-42]),
    "b": torch.arange(6, dtype=torch.int64).view(2, 3),
    "scalar": torch.tensor(3.5),
    "view": torch.arange(6.0).view(2, 3).T,
    "empty": torch.empty(0, 3),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", WEIGHTS, {"size": 3}, {"method": "prerec"})
    return tmp_path / "model"


RUN = {"graph": {"latent_dim": 4}, "data": ["abc"]}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_saved_is_read_bit_for_bit(saved):
    weights, config, manifest = load_model(saved)
    assert weights.keys() == WEIGHTS.keys()
    for name, value in WEIGHTS.items():
        assert weights[name].dtype == value.dtype
        assert weights[name].numpy().tobytes() == value.contiguous().numpy().tobytes()
        assert weights[name].shape == value.shape
    assert config == {"size": 3}
    assert manifest["method"] == "prerec"
    assert {path.name for path in saved.iterdir()} == set(FILES)
    assert {path.name for path in saved.parent.iterdir()} == {"model"}, "nothing is left beside it"


def test_two_names_of_one_tensor_are_both_kept(tmp_path):
    one = torch.arange(3.0)
    save_model(tmp_path / "model", {"one": one, "same": one}, {}, {})
    assert torch.equal(load_model(tmp_path / "model")[0]["same"], one)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
@pytest.mark.parametrize("place", [0, -5])
def test_one_flipped_byte_is_noticed(saved, name, place):
    data = bytearray((saved / name).read_bytes())
    data[place] ^= 1
    (saved / name).write_bytes(data)
    with pytest.raises(InputError, match=f"{name}: damaged"):
        load_model(saved)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "\x00"])
def test_a_damaged_manifest_is_noticed(saved, text):
    (saved / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json: (damaged|format version)"):
        load_model(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        load_model(saved)


def test_another_version_is_refused(saved):
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    with pytest.raises(InputError, match=r"manifest\.json: format version 99"):
        load_model(saved)


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(InputError, match=f"{path.name}: there is no such model folder"):
            load_model(path)


def test_a_whole_model_that_is_of_no_prerec_is_refused(saved):
    with pytest.raises(InputError, match="is not a PreRec model"):
        PreRec.load(saved, device="cpu")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error")])
def test_nothing_is_half_written(saved, monkeypatch, error):
    before = content(saved.parent)

    def fail(path, tensors):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint, "write_tensors", fail)
    for folder in (saved, saved.parent / "new"):
        with pytest.raises(InputError, match=f"{folder.name}: cannot be written"):
            save_model(folder, WEIGHTS, {}, {})
    assert content(saved.parent) == before
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_the_old_model_stays_where_the_new_one_cannot_take_its_place(saved, monkeypatch):
    before = content(saved)
    rename = Path.rename

    def fail(self, target):
        if self.name.endswith(".partial"):
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(InputError, match="Permission denied"):
        save_model(saved, WEIGHTS, {"size": 4}, {})
    assert content(saved) == before
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_plain_json_is_asked_for_before_the_old_model_goes(saved):
    before = content(saved)
    with pytest.raises(ValueError, match="JSON"):
        save_model(saved, WEIGHTS, {"size": float("nan")}, {})
    assert content(saved.parent).keys() == {f"model/{name}" for name in before}
    assert content(saved) == before


def test_a_saved_model_is_replaced(saved):
    (saved / "notes.txt").write_text("of the old model")
    save_model(saved, {"a": torch.zeros(1)}, {"size": 4}, {})
    assert load_model(saved)[1] == {"size": 4}
    assert {path.name for path in saved.iterdir()} == set(FILES)


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", WEIGHTS, {}, {})
    assert load_model(tmp_path / "model")[0].keys() == WEIGHTS.keys()


@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_no_model_is_left_alone(tmp_path, is_file):
    path = tmp_path / "thesis"
    if is_file:
        path.write_text("years of work")
    else:
        path.mkdir()
        (path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="left alone"):
        save_model(path, WEIGHTS, {}, {})
    assert list(content(tmp_path).values()) == [b"years of work"]


def test_progress_comes_back_and_is_checked(tmp_path):
    folder = tmp_path / "progress"
    with pytest.raises(InputError, match="no unfinished training run"):
        load_progress(folder, RUN)
    save_progress(folder, RUN, {"now.a": torch.zeros(1)}, {"next_epoch": 2})
    save_progress(folder, RUN, WEIGHTS, {"next_epoch": 3})
    tensors, facts = load_progress(folder, RUN)
    assert facts["next_epoch"] == 3
    assert torch.equal(tensors["b"], WEIGHTS["b"])
    data = bytearray((folder / "state.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "state.safetensors").write_bytes(data)
    with pytest.raises(InputError, match=r"state\.safetensors: damaged"):
        load_progress(folder, RUN)


def test_another_process_answers_the_same_bit_for_bit(tmp_path):
    domain = small_domain()
    model = shaken(PreRec(graph_config(), training=training(epochs=1), device="cpu").fit([domain]))
    model.save(tmp_path / "model")
    ours = model.recommend(domain, k=5)
    script = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from tests.support.models import small_domain\n"
        "from prerec_pyro.recommenders.prerec import PreRec\n"
        "lists = PreRec.load(sys.argv[2], device='cpu').recommend(small_domain(), k=5)\n"
        "lists.assign(score=[float(s).hex() for s in lists.score]).to_json(sys.argv[3])\n"
    )
    tests = Path(__file__).parent.parent
    arguments = [str(tests.parent), str(tmp_path / "model"), str(tmp_path / "lists.json")]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, cwd=tests.parent)
    theirs = json.loads((tmp_path / "lists.json").read_text())
    assert list(theirs["item_id"].values()) == ours["item_id"].tolist()
    assert list(theirs["score"].values()) == [float(score).hex() for score in ours["score"]]


def test_progress_of_another_run_is_refused(tmp_path: Path) -> None:
    save_progress(tmp_path / "progress", RUN, WEIGHTS, {"next_epoch": 2})
    with pytest.raises(InputError, match="other settings or data \\(data\\)"):
        load_progress(tmp_path / "progress", RUN | {"data": ["other"]})

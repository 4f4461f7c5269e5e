from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.data import storage
from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError


def make(name: str = "shop", items: int = 3, with_times: bool = True) -> Domain:
    events = {
        "user_id": ["u", "v", "u", "v", "v"],
        "item_id": ["1", "0", "0", "1", "0"],
        "timestamp" if with_times else "order": [200_000, 100_000, 100_000, 300_000, 300_000],
    }
    catalogue = {"item_id": [str(i) for i in range(items)], "text": [f"thing {i}" for i in range(items)]}
    return Domain.from_tables(pd.DataFrame(events), pd.DataFrame(catalogue), name=name, source="test")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    make().with_embeddings(np.arange(6).reshape(3, 2)).save(folder)
    return folder


@pytest.mark.parametrize("with_times", [True, False])
def test_round_trip_keeps_everything(tmp_path: Path, with_times: bool) -> None:
    domain = make(with_times=with_times)
    domain.save(tmp_path / "deep" / "shop")
    loaded = Domain.load(str(tmp_path / "deep" / "shop"))
    assert loaded.fingerprint == domain.fingerprint
    assert loaded.name == "shop"
    assert loaded.provenance == domain.provenance
    assert loaded.has_timestamps == with_times
    assert loaded.embeddings is None
    for field in ("item_ids", "item_texts", "user_ids", "offsets", "item_index"):
        assert np.array_equal(getattr(loaded, field), getattr(domain, field)), field
        assert getattr(loaded, field).dtype == getattr(domain, field).dtype, field
    if with_times:
        loaded.timestamps[0] = 0  # torch.from_numpy warns about read-only arrays


def test_files_are_what_other_tools_can_read(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [
        "domain.json",
        "embeddings.safetensors",
        "interactions.parquet",
        "items.parquet",
    ]
    events = pd.read_parquet(saved / "interactions.parquet")
    assert events["user_id"].tolist() == ["u", "u", "v", "v", "v"]
    assert events["timestamp"].tolist() == [100_000, 200_000, 100_000, 300_000, 300_000]
    manifest = json.loads((saved / "domain.json").read_text())
    assert (manifest["name"], manifest["num_items"], manifest["num_users"]) == ("shop", 3, 2)
    assert manifest["num_interactions"] == 5
    assert Domain.load(saved).embeddings.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_covariates_are_columns_of_the_items(saved: Path, tmp_path: Path) -> None:
    assert "item_covariates" not in json.loads((saved / "domain.json").read_text())
    domain = make().with_item_covariates(weight=[0.1, 2, 3], price=[1, 2, 3])
    domain.save(tmp_path / "priced")
    manifest = json.loads((tmp_path / "priced" / "domain.json").read_text())
    assert (manifest["format_version"], manifest["item_covariates"]) == (1, ["weight", "price"])
    items = pd.read_parquet(tmp_path / "priced" / "items.parquet")
    assert items.columns.tolist() == ["item_id", "text", "weight", "price"]
    assert items["weight"].dtype == np.float32
    loaded = Domain.load(tmp_path / "priced")
    assert list(loaded.item_covariates) == ["weight", "price"]
    for name, values in loaded.item_covariates.items():
        assert values.dtype == np.float32
        assert np.array_equal(values, domain.item_covariates[name])
        values[0] = 7  # torch.from_numpy warns about read-only arrays
    assert loaded.fingerprint == domain.fingerprint


def test_days_of_listing_are_a_column_of_the_items(tmp_path: Path) -> None:
    plain = make()
    domain = dataclasses.replace(plain, first_seen=[10, -1, 0])
    domain.save(tmp_path / "shop")
    assert pd.read_parquet(tmp_path / "shop" / "items.parquet")["first_seen"].tolist()[::2] == [10, 0]
    loaded = Domain.load(tmp_path / "shop")
    assert (loaded.first_seen.tolist(), loaded.first_seen.dtype) == ([10, -1, 0], np.int32)
    assert loaded.items_frame()["first_seen"].tolist()[::2] == [pd.Timestamp("1970-01-11"), pd.Timestamp("1970-01-01")]
    assert loaded.fingerprint == domain.fingerprint
    assert loaded.fingerprint != plain.fingerprint
    assert dataclasses.replace(loaded, first_seen=None).fingerprint == plain.fingerprint
    plain.save(tmp_path / "plain")
    assert "first_seen" not in json.loads((tmp_path / "plain" / "domain.json").read_text())
    assert pd.read_parquet(tmp_path / "plain" / "items.parquet").columns.tolist() == ["item_id", "text"]


def test_a_fingerprint_is_what_it_always_was() -> None:
    assert make().fingerprint.startswith("fd5aec0ffae1549e")


def test_a_domain_without_a_log_is_saved_and_printed(tmp_path: Path) -> None:
    items = pd.DataFrame({"item_id": ["a", "b"], "text": ["apple", "bread"]})
    domain = Domain.from_tables(None, items, name="bare", source="test")
    domain.save(tmp_path / "bare")
    loaded = Domain.load(tmp_path / "bare")
    assert loaded.fingerprint == domain.fingerprint
    assert (loaded.num_users, loaded.num_interactions, loaded.offsets.tolist()) == (0, 0, [0])
    assert not loaded.has_timestamps
    assert len(loaded.interactions_frame()) == 0
    assert "  period:       no interactions\n" in str(loaded)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("price", "item_covariates is no list of names"),
        ([1], "item_covariates is no list of names"),
        (["weight"], "cannot be read as a domain"),
        ([], "not what domain.json says"),
    ],
)
def test_a_wrong_list_of_covariates_is_refused(tmp_path: Path, names: object, message: str) -> None:
    make().with_item_covariates(price=[1, 2, 3]).save(tmp_path / "shop")
    path = tmp_path / "shop" / "domain.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"item_covariates": names}))
    with pytest.raises(InputError, match=message):
        Domain.load(tmp_path / "shop")


def test_a_saved_domain_is_replaced_and_nothing_is_left_beside_it(saved: Path) -> None:
    make(name="new", items=4).save(saved)
    loaded = Domain.load(saved)
    assert (loaded.name, loaded.num_items, loaded.embeddings) == ("new", 4, None)
    assert [path.name for path in saved.parent.iterdir()] == ["shop"]


def test_other_folders_and_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make().save(tmp_path / "empty")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("text")
    file = tmp_path / "file"
    file.write_text("x")
    for taken in (full, file):
        with pytest.raises(InputError, match=r"neither empty nor a saved domain"):
            make().save(taken)
    assert (full / "thesis.txt").read_text() == "text"
    with pytest.raises(InputError, match=r"cannot be written"):
        make().save(file / "below")


def test_a_failed_save_leaves_the_old_domain(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "_sha256", full)
    with pytest.raises(InputError, match=r"cannot be written .No space left"):
        make(name="new").save(saved)
    monkeypatch.undo()
    assert Domain.load(saved).name == "shop"
    assert [path.name for path in saved.parent.iterdir()] == ["shop"]


def test_a_failed_rename_restores_the_old_domain(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match=r"Permission denied"):
        make(name="new").save(saved)
    monkeypatch.undo()
    assert Domain.load(saved).name == "shop"
    assert [path.name for path in saved.parent.iterdir()] == ["shop"]


@pytest.mark.parametrize("name", ["interactions.parquet", "items.parquet", "embeddings.safetensors"])
def test_a_changed_byte_is_detected(saved: Path, name: str) -> None:
    data = bytearray((saved / name).read_bytes())
    data[len(data) // 2] ^= 1
    (saved / name).write_bytes(data)
    with pytest.raises(InputError, match=f"{name}: damaged.*import the domain again"):
        Domain.load(saved)
    (saved / name).write_bytes(data[:-7])
    with pytest.raises(InputError, match=f"{name}: damaged"):
        Domain.load(saved)
    (saved / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        Domain.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: "{", "no valid JSON"),
        (lambda _: "[]", "damaged, it lacks"),
        (lambda m: json.dumps({**m, "name": 3}), "damaged, it lacks"),
        (lambda m: json.dumps({**m, "format_version": 99}), "format version 99"),
        (lambda m: json.dumps({**m, "files": {"../../x": {}}}), "lists the wrong files"),
        (lambda m: json.dumps({**m, "files": dict.fromkeys(m["files"], 3)}), "lists the wrong files"),
        (lambda m: json.dumps({**m, "fingerprint": "0" * 64}), "not what domain.json says"),
    ],
)
def test_a_damaged_manifest_is_refused(saved: Path, change: object, message: str) -> None:
    path = saved / "domain.json"
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(InputError, match=message):
        Domain.load(saved)


def test_loading_a_folder_without_a_domain(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no folder; expected a domain made by `prerec-pyro data import`"):
        Domain.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no domain\.json"):
        Domain.load(tmp_path)

"""Output files and folders: checks before the work, and replacement when complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from prerec_pyro.cli.outputs import check_out_file, check_out_folder, json_text, staged_file, staged_folder
from prerec_pyro.errors import InputError


def empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def test_a_new_or_replaceable_folder_passes_and_is_not_created(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "deep/er/new", "empty"):
        check_out_folder(tmp_path / name, empty, [tmp_path, tmp_path / "src"])
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "--out .*file: is a file, expected a folder; name"),
        ("file/new", "cannot be made because .*file is a file"),
        ("full", "exists and is neither empty nor an earlier result"),
        ("", "name a folder to make"),
        ("full/..", "name a folder to make"),
        ("source", "would replace .*source, which this command reads"),
        ("source/../empty", "would replace .*log.csv, which this command reads"),
    ],
)
def test_the_error_names_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    for folder in ("full/mine", "source", "empty"):
        Path(folder).mkdir(parents=True)
    with pytest.raises(InputError, match=message):
        check_out_folder(Path(out), empty, [Path("full/../source"), tmp_path / "empty" / "log.csv"])


def test_a_folder_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match=f"because {tmp_path} is not writable"):
        check_out_folder(tmp_path / "new", empty)


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
        check_out_folder(tmp_path / "new", empty)


def test_staged_content_replaces_the_old(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    for content in ("first", "second"):
        with staged_folder(out) as folder:
            (folder / content).write_text(content)
            assert not (out / content).exists()
        assert [path.name for path in out.iterdir()] == [content]
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    ("raised", "expected"), [(KeyError, KeyError), (KeyboardInterrupt, KeyboardInterrupt), (OSError, InputError)]
)
def test_a_failure_leaves_the_old_as_it_was(
    tmp_path: Path, raised: type[BaseException], expected: type[BaseException]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(expected), staged_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("new")
        raise raised("stopped")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


@pytest.mark.parametrize("raised", [OSError, KeyboardInterrupt])
def test_a_stop_between_the_two_renames_puts_the_old_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    rename = Path.rename

    def stop(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise raised("stopped")
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises((InputError, KeyboardInterrupt)):
        patch.setattr(Path, "rename", stop)
        with staged_folder(tmp_path / "out") as folder:
            (folder / "new").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("lists.txt", "--out .*lists.txt: the name must end in .csv, .json; the ending sets the format"),
        ("folder.csv", "--out .*folder.csv: is a folder, expected a file"),
        ("file/lists.csv", "cannot be made because .*file is a file; name another file"),
        ("folder.csv/lists.csv", "lies in .*folder.csv, which this command reads"),
    ],
)
def test_a_file_that_cannot_be_written_is_rejected(tmp_path: Path, out: str, message: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=message):
        check_out_file(tmp_path / out, (".csv", ".json"), [tmp_path / "folder.csv"])


def test_a_staged_file_replaces_the_old_and_makes_its_folders(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "lists.csv"
    for content in ("first", "second"):
        with staged_file(out) as partial:
            partial.write_text(content)
        assert out.read_text() == content
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(("raised", "expected"), [(KeyError, KeyError), (OSError, InputError)])
def test_a_failure_leaves_neither_file_nor_folder(
    tmp_path: Path, raised: type[Exception], expected: type[Exception]
) -> None:
    with pytest.raises(expected), staged_file(tmp_path / "deep" / "er" / "lists.csv") as partial:
        partial.write_text("half")
        raise raised("stopped")
    assert list(tmp_path.iterdir()) == []


def test_json_has_no_nan() -> None:
    assert json_text({"name": "é"}) == '{\n  "name": "é"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text([float("nan")])

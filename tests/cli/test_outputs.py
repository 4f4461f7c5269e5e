from __future__ import annotations

from pathlib import Path

import pytest

from prerec_pyro.cli.outputs import check_out_folder, staged_folder
from prerec_pyro.errors import InputError


def empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def test_a_new_or_replaceable_folder_passes_and_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "deep/er/new", "empty"):
        check_out_folder(tmp_path / name, empty, [tmp_path, tmp_path / "src"])
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "--out .*file: is a file, expected a folder to make"),
        ("file/new", "cannot be made, since .*file is a file"),
        ("full", "exists and is neither empty nor an earlier result"),
        ("", "name a folder to make"),
        ("full/..", "name a folder to make"),
        ("source", "would replace .*source, which is read"),
        ("source/../empty", "would replace .*log.csv, which is read"),
    ],
)
def test_what_is_in_the_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    for folder in ("full/mine", "source", "empty"):
        Path(folder).mkdir(parents=True)
    with pytest.raises(InputError, match=message):
        check_out_folder(Path(out), empty, [Path("full/../source"), tmp_path / "empty" / "log.csv"])


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match=f"since {tmp_path} may not be written to"):
        check_out_folder(tmp_path / "new", empty)


def test_a_folder_that_may_not_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(InputError, match=r"cannot be looked at \(Permission denied\)"):
        check_out_folder(tmp_path / "new", empty)


def test_staged_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
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

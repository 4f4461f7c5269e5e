"""Models that ship with the package, by name; a model is named by such a name or by its folder."""

from __future__ import annotations

import json
from pathlib import Path

from prerec_pyro.errors import InputError

SHIPPED = Path(__file__).resolve().parents[2] / "pretrained"
"""Folder of the shipped models, package data; each model is a folder in it."""

_MANIFEST = "manifest.json"


def shipped_names() -> tuple[str, ...]:
    """Return the names of the models that ship with this installation, sorted."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob(f"*/{_MANIFEST}")))


def find_model(name: str) -> Path:
    """Return the folder that a name or a path means; it need not exist.

    A shipped name means the shipped model, even if the working folder holds a folder of that name. ``./base`` is a
    path, and means the folder.

    >>> find_model("./base").as_posix()
    'base'
    """
    return SHIPPED / name if name in shipped_names() else Path(name)


def model_folder(model: str | Path) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    model
        A shipped name, or a folder; see `find_model`. A `Path` is always a folder.

    Raises
    ------
    InputError
        If there is neither such a folder nor a shipped model of that name.
    """
    folder = find_model(model) if isinstance(model, str) else model
    if not folder.is_dir():
        names = shipped_names()
        shipped = f"the model{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else "no model"
        raise InputError(
            f"{model}: there is no such model folder, and this installation ships {shipped}; give a folder made by "
            f"`prerec-pyro train --out`{' or a shipped name' if names else ''}"
        )
    return folder


def model_label(folder: Path) -> str:
    """Return the shortest text that `find_model` takes for a folder: the name of a shipped model, else the path."""
    if folder.parent == SHIPPED:
        return folder.name
    return f"./{folder}" if str(folder) in shipped_names() else str(folder)


def model_hash(folder: Path) -> str:
    """Return the hash of a model's weights and configuration, 16 hex digits each, joined by a dash.

    Raises
    ------
    InputError
        If the manifest of the folder cannot be read.
    """
    path = folder / _MANIFEST
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return "-".join(str(files[name])[:16] for name in ("weights.safetensors", "config.json"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged or missing ({error}); copy or train the model again") from None

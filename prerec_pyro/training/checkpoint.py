"""Models and states of training on disk: safetensors for numbers, JSON for the rest, nothing to unpickle."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.safetensors_io import write_tensors
from prerec_pyro.errors import InputError

FORMAT_VERSION = 6  # in 5 a history had one interest, in 4 switches chose the graph; see recommenders/format4, format5
READABLE_VERSIONS = (4, 5, FORMAT_VERSION)
_WEIGHTS, _CONFIG, _MANIFEST, _CARD = "weights.safetensors", "config.json", "manifest.json", "MODEL_CARD.md"


def save_model(
    folder: Path,
    weights: Mapping[str, Tensor],
    config: dict[str, Any],
    manifest: dict[str, Any],
    card: str | None = None,
) -> None:
    """Write a model folder, whole or not at all.

    Parameters
    ----------
    folder
        The model folder; it is replaced if it is empty or a saved model.
    weights
        Tensors by name.
    config
        Settings that the model is built from, plain JSON.
    manifest
        Origin of the model: versions, encoder, domains, priors, seeds, metrics. Plain JSON.
    card
        Text of ``MODEL_CARD.md``, for people: nothing reads it, so it may be edited. None writes no card.

    Raises
    ------
    InputError
        If the folder holds something else, or cannot be written.
    """
    check_writable(folder)
    with _beside(folder) as beside:
        _write_tensors(beside / _WEIGHTS, weights)
        _write_json(beside / _CONFIG, {"format_version": FORMAT_VERSION, **config})
        if card is not None:
            (beside / _CARD).write_text(card, encoding="utf-8")
        files = {name: _sha256(beside / name) for name in (_WEIGHTS, _CONFIG)}
        _write_json(beside / _MANIFEST, {"format_version": FORMAT_VERSION, "files": files, **manifest})


def load_model(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Return weights (on the CPU), config and manifest of a model folder.

    Raises
    ------
    InputError
        If a file is missing, damaged, changed since it was written, or of another format.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such model folder; expected one made by `prerec-pyro train --out`")
    for name in (_MANIFEST, _CONFIG, _WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: missing; a model folder holds {_WEIGHTS}, {_CONFIG} and {_MANIFEST}")
    manifest = _read_json(folder / _MANIFEST)
    if manifest.get("format_version") not in READABLE_VERSIONS:
        raise InputError(
            f"{folder / _MANIFEST}: format version {manifest.get('format_version')}, this prerec-pyro reads "
            f"{', '.join(map(str, READABLE_VERSIONS))}; train the model again, or use the version that wrote it"
        )
    for name in (_CONFIG, _WEIGHTS):
        if (manifest.get("files") or {}).get(name) != _sha256(folder / name):
            raise InputError(f"{folder / name}: damaged or changed since it was written; copy or train the model again")
    config = _read_json(folder / _CONFIG)
    config.pop("format_version", None)
    try:
        weights = load_file(folder / _WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{folder / _WEIGHTS}: cannot be read ({error}); copy or train the model again") from error
    return weights, config, manifest


def read_method(folder: Path) -> str | None:
    """Return the method of a model folder, which may be damaged otherwise; None if it names none."""
    path = folder / _MANIFEST
    return _read_json(path).get("method") if path.is_file() else load_model(folder)[2].get("method")


def check_writable(folder: Path) -> None:
    """Raise `InputError` unless `folder` may be written: absent, empty, or a saved model to be replaced."""
    if folder.exists() and not (folder.is_dir() and ((folder / _MANIFEST).is_file() or not any(folder.iterdir()))):
        raise InputError(
            f"{folder}: exists and is neither empty nor a saved model (it has no {_MANIFEST}), so it is left alone; "
            "name another folder"
        )


def provenance(encoded: Sequence[EncodedDomain], *, split_seed: int, seed: int) -> dict[str, Any]:
    """Return the origin of a model for its manifest: domains, seeds, versions."""
    packages = ("prerec-pyro", "torch", "pyro-ppl", "sentence-transformers")
    return {
        "split_seed": split_seed,
        "seed": seed,
        "domains": [
            {
                "name": e.name,
                "fingerprint": e.domain.fingerprint,
                "num_items": e.num_items,
                "num_users": e.domain.num_users,
                "num_interactions": e.domain.num_interactions,
                "popularity": "static, no timestamps" if e.popularity.is_static else "windowed",
            }
            for e in encoded
        ],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def save_progress(folder: Path, run: dict[str, Any], state: Mapping[str, Tensor], facts: dict[str, Any]) -> None:
    """Write the state of an unfinished training run, from which it can resume; the last state is replaced.

    Parameters
    ----------
    folder
        Folder of the state.
    run
        Settings and data of the run, plain JSON. Resuming needs the same.
    state, facts
        Tensors and plain JSON; see `Trainer.state`.
    """
    with _beside(folder) as beside:
        _write_tensors(beside / "state.safetensors", state)
        files = {"state.safetensors": _sha256(beside / "state.safetensors")}
        _write_json(beside / "progress.json", {"format_version": FORMAT_VERSION, "files": files, "run": run, **facts})


def load_progress(folder: Path, run: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and plain JSON that `save_progress` wrote.

    Raises
    ------
    InputError
        If there is nothing to resume, the state is damaged, or it belongs to another run.
    """
    facts_path, state_path = folder / "progress.json", folder / "state.safetensors"
    if not facts_path.is_file() or not state_path.is_file():
        raise InputError(f"{folder}: there is no unfinished training run to resume; leave out --resume")
    facts = _read_json(facts_path)
    if (facts.get("files") or {}).get("state.safetensors") != _sha256(state_path):
        raise InputError(f"{state_path}: damaged; delete {folder} and train without --resume")
    if changed := _changed(run, facts.get("run") or {}):
        raise InputError(
            f"{folder}: the unfinished run had other settings or data ({', '.join(changed)}); give the same, or train "
            "without --resume"
        )
    return load_file(state_path), facts


def _changed(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    """Return the key paths of values that differ, such as ``training.recipe.min_steps``."""
    names = []
    for name, value in now.items():
        other = then.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            names += [f"{name}.{inner}" for inner in _changed(value, other)]
        elif value != other:
            names.append(name)
    return names


def flatten_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Return the moments of an optimiser as named tensors; numbers of steps become 0-d tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{index}.{name}": torch.as_tensor(value)
        for index, moments in state.items()
        for name, value in moments.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Restore the moments that `flatten_optimizer` returned."""
    own: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix + "."):
            index, name = key[len(prefix) + 1 :].split(".", 1)
            # SparseAdam counts its steps in a plain number.
            plain = name == "step" and isinstance(optimizer, torch.optim.SparseAdam)
            own.setdefault(int(index), {})[name] = int(value) if plain else value
    optimizer.load_state_dict({"state": own, "param_groups": optimizer.state_dict()["param_groups"]})


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Yield a folder to write to, which replaces `folder` when the block ends without an error."""
    beside = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.partial"
    try:
        beside.mkdir(parents=True)
        try:
            yield beside
            old = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.old"
            if folder.exists():
                folder.rename(old)
            try:
                beside.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: cannot be written ({reason}); name another folder") from error


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    write_tensors(path, {name: value.detach().cpu().numpy() for name, value in tensors.items()})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged, no valid JSON ({error}); copy or train the model again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged, expected a JSON object; copy or train the model again")
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

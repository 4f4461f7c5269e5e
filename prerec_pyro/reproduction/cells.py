"""Cells: one measurement each, on disk as soon as it is made, so that a run that was cut off goes on where it was."""

from __future__ import annotations

import hashlib
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import Evaluation

FORMAT_VERSION = 1
METRICS = ("recall", "r_ndcg")


@dataclass(frozen=True, eq=False)
class Cell:
    """What one recommender reached on one target.

    Attributes
    ----------
    rows
        ``"all"`` and, where it was asked for, ``"unseen"`` → the row that ``evaluate`` writes.
    facts
        How it was trained.
    arrays
        ``events``, ``users`` and, where asked for, ``unseen``, ``(num_queries,)`` as in `Evaluation`, and each metric
        of `METRICS` by its name, float64.
    """

    rows: Mapping[str, dict[str, Any]]
    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, evaluation: Evaluation, split: str, facts: Mapping[str, Any]) -> Cell:
        """Return the cell of a measurement."""
        arrays = {"events": evaluation.events, "users": evaluation.users}
        if evaluation.unseen is not None:
            arrays["unseen"] = evaluation.unseen
        arrays |= {metric: evaluation.ranking.per_query(metric) for metric in METRICS}
        return cls({row["subset"]: row for row in evaluation.rows(split)}, dict(facts), arrays)

    def queries(self, subset: str) -> np.ndarray:
        """Return ``(num_queries,)`` bool: those of the subset."""
        return self.arrays["unseen"] if subset == "unseen" else np.ones(len(self.arrays["events"]), dtype=bool)


def short_hash(asked: Mapping[str, Any]) -> str:
    """Return 12 hex digits of plain JSON; the order of names does not enter."""
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class CellStore:
    """A folder of finished cells: ``<name>-<hash>.json``, and the arrays beside in ``.npz``.

    The hash is that of all that decides about the numbers, so another setting is another cell.

    Parameters
    ----------
    folder
        Made when the first cell is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, asked: Mapping[str, Any], measure: Callable[[], Cell]) -> Cell:
        """Return the cell, measured only if it is not there.

        Parameters
        ----------
        name
            For people, such as ``"prerec-shop-seed0"``.
        asked
            All that decides about the numbers, plain JSON.
        measure
            What to do if there is no such cell.

        Raises
        ------
        InputError
            If the cell's files are damaged, or cannot be written.
        """
        path = self.folder / f"{name}-{short_hash(asked)}.json"
        if path.is_file():
            return _read(path, asked)
        cell = measure()
        with _written(path.with_suffix(".npz")) as beside, beside.open("wb") as stream:
            np.savez_compressed(stream, **cell.arrays)
        # Last: a cell is finished when its JSON is there.
        content = {"format_version": FORMAT_VERSION, "asked": asked, "rows": cell.rows, "facts": cell.facts}
        with _written(path) as beside:
            text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
            beside.write_text(text + "\n", encoding="utf-8")
        return _read(path, asked)


def _read(path: Path, asked: Mapping[str, Any]) -> Cell:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        with path.with_suffix(".npz").open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        cell = Cell(content["rows"], content["facts"], arrays)
        same = content["format_version"] == FORMAT_VERSION and short_hash(content["asked"]) == short_hash(asked)
        lengths = {len(cell.arrays[name]) for name in ("events", "users", *METRICS)}
        if not same or lengths != {cell.rows["all"]["num_queries"]}:
            raise ValueError("it is not what its name says")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged ({error}); delete it and run the command again") from error
    return cell


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield a path beside that takes its place when the block ends without an error."""
    beside = path.parent / f".{path.name}.{uuid.uuid4().hex}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)

"""Cells: single measurements, written to disk when they are done, so that an interrupted run can resume."""

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
    """Metrics of one recommender on one target.

    Attributes
    ----------
    rows
        ``"all"`` and, if there are sources, ``"unseen"`` → the row that ``evaluate`` writes.
    facts
        Facts about the training, plain JSON.
    arrays
        ``events``, ``users`` and, if there are sources, ``unseen``, ``(num_queries,)`` as in `Evaluation`; and each
        metric of `METRICS` by its name, ``(num_queries,)`` float64.
    """

    rows: Mapping[str, dict[str, Any]]
    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation, split: str, facts: Mapping[str, Any]) -> Cell:
        """Return the cell of an evaluation on a split, with the facts about the training."""
        arrays = {"events": evaluation.events, "users": evaluation.users}
        if evaluation.unseen is not None:
            arrays["unseen"] = evaluation.unseen
        arrays |= {metric: evaluation.ranking.per_query(metric) for metric in METRICS}
        return cls({row["subset"]: row for row in evaluation.rows(split)}, dict(facts), arrays)

    def queries(self, subset: str) -> np.ndarray:
        """Return the mask of the queries of ``"all"`` or ``"unseen"``, ``(num_queries,)`` bool."""
        return self.arrays["unseen"] if subset == "unseen" else np.ones(len(self.arrays["events"]), dtype=bool)


def short_hash(key: Mapping[str, Any]) -> str:
    """Return 12 hex digits of plain JSON; the order of the names does not matter."""
    text = json.dumps(key, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class CellStore:
    """A folder of finished cells: ``<name>-<hash>.json``, and their arrays in ``<name>-<hash>.npz``.

    The hash covers everything that determines the numbers, so that another setting is another cell.

    Parameters
    ----------
    folder
        Folder of the files; created with the first cell.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, key: Mapping[str, Any], measure: Callable[[], Cell]) -> Cell:
        """Return the cell; measure it only if it is not in the folder.

        Parameters
        ----------
        name
            Readable start of the file name, such as ``"prerec-shop-seed0"``.
        key
            Everything that determines the numbers, plain JSON.
        measure
            Function that measures the cell.

        Raises
        ------
        InputError
            If the files of the cell are damaged or cannot be written.
        """
        path = self.folder / f"{name}-{short_hash(key)}.json"
        if path.is_file():
            return _read(path, key)
        cell = measure()
        with _replacing(path.with_suffix(".npz")) as partial, partial.open("wb") as stream:
            np.savez_compressed(stream, **cell.arrays)  # type: ignore[arg-type]  # the stub takes ** as allow_pickle too
        # The JSON comes last: a cell with a JSON is finished.
        content = {"format_version": FORMAT_VERSION, "asked": key, "rows": cell.rows, "facts": cell.facts}
        with _replacing(path) as partial:
            text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
            partial.write_text(text + "\n", encoding="utf-8")
        return _read(path, key)


def _read(path: Path, key: Mapping[str, Any]) -> Cell:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        with path.with_suffix(".npz").open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        cell = Cell(content["rows"], content["facts"], arrays)
        same = content["format_version"] == FORMAT_VERSION and short_hash(content["asked"]) == short_hash(key)
        lengths = {len(cell.arrays[name]) for name in ("events", "users", *METRICS)}
        if not same or lengths != {cell.rows["all"]["num_queries"]}:
            raise ValueError("the content does not match the name")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged ({error}); delete it and run the command again") from error
    return cell


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and move it to `path` if the block ends without an error."""
    partial = path.parent / f".{path.name}.{uuid.uuid4().hex}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)

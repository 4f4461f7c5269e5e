"""A recommender as a function from Arrow batches of users to Arrow batches of lists: what Ray and Spark map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.recommenders.base import BaseRecommender

SCHEMA = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("score", pa.float32()), ("rank", pa.int32())])


@dataclass(frozen=True)
class ListRequest:
    """What is asked of a model, in plain values, so that it travels to another process and into a file.

    Attributes
    ----------
    model, domain
        Folders, as every worker sees them.
    top_k, do, at, seen
        As in `BaseRecommender.recommend`.
    calibrate
        Whether S of a new domain is read off its log; see `CalibratedPreRec`.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    """

    model: str
    domain: str
    top_k: int = 20
    do: dict[str, float | str] = field(default_factory=dict)
    at: str | None = None
    seen: Literal["drop", "keep"] = "drop"
    calibrate: bool = False
    device: str = "cpu"

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


class ArrowRecommender:
    """Answers a question for batches of users; the model is loaded with the first batch and then stays.

    An instance can be pickled before it has loaded anything. With Spark::

        users.mapInArrow(ArrowRecommender(question).map, "user_id string, item_id string, score float, rank int")

    Parameters
    ----------
    question
        What is asked.
    threads
        PyTorch's threads in this process; None leaves them.
    """

    def __init__(self, question: ListRequest, threads: int | None = None) -> None:
        self.question = question
        self.threads = threads
        self._loaded: tuple[BaseRecommender, EncodedDomain] | None = None

    def map(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield a batch of lists, as `SCHEMA`, for each batch with a column ``user_id``: lists in the order of users.

        Raises
        ------
        InputError
            If there is no such column, a user is unknown, or the question means nothing.
        """
        for batch in batches:
            yield self.lists(batch)

    def lists(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the lists of one batch of users; see `map`."""
        if "user_id" not in batch.schema.names:
            raise InputError(f"a batch of users: no column 'user_id'; it has {', '.join(batch.schema.names)}")
        if not len(batch):
            return _empty()
        model, encoded = self._load()
        asked = self.question
        users = batch.column("user_id").cast(pa.large_string()).to_numpy(zero_copy_only=False)
        lists = model.recommend(encoded, users, k=asked.top_k, do=asked.do, at=asked.at, seen=asked.seen)
        if not len(lists):
            return _empty()
        # By way of a table: strings of many users come in several chunks, of which a batch cannot be made at once.
        (one,) = pa.Table.from_pandas(lists, SCHEMA, preserve_index=False).combine_chunks().to_batches()
        return one

    def _load(self) -> tuple[BaseRecommender, EncodedDomain]:
        if self._loaded is None:
            import torch

            from prerec_pyro.data.domain import Domain
            from prerec_pyro.recommenders.calibrated import CalibratedPreRec
            from prerec_pyro.recommenders.registry import load_model

            if self.threads is not None:
                torch.set_num_threads(self.threads)
            model = load_model(Path(self.question.model), self.question.device)
            encoded = model.encode(Domain.load(self.question.domain))
            self._loaded = (CalibratedPreRec(model) if self.question.calibrate else model), encoded
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        return {"question": self.question, "threads": self.threads, "_loaded": None}


def _empty() -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], one.type) for one in SCHEMA], schema=SCHEMA)

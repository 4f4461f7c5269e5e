"""A recommender as a map from Arrow batches of users to Arrow batches of lists, for Ray and Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.data.batching.histories import Unknown
    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.recommenders.base import BaseRecommender

SCHEMA = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("score", pa.float32()), ("rank", pa.int32())])


@dataclass(frozen=True)
class ListRequest:
    """Request for lists, in plain values that another process or a file can hold.

    Attributes
    ----------
    model, domain
        Folders, as every worker sees them.
    top_k
        Length of the lists.
    do, at, seen
        As in `BaseRecommender.recommend`.
    calibrate
        Whether S of a new domain is estimated from its log; see `CalibratedPreRec`.
    unknown
        As in `BaseRecommender.recommend`.
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
    unknown: Unknown | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name; without `unknown` where it is None, as in requests before it existed."""
        fields = asdict(self)
        return fields if self.unknown else {name: fields[name] for name in fields if name != "unknown"}


class ArrowRecommender:
    """Lists for batches of users; the model is loaded with the first batch and then kept.

    An instance can be pickled; the copy loads the model again. With Spark::

        users.mapInArrow(ArrowRecommender(request).map, "user_id string, item_id string, score float, rank int")

    Parameters
    ----------
    request
        Model, domain and options of the lists.
    threads
        Number of PyTorch threads in this process; None keeps the current number.
    """

    def __init__(self, request: ListRequest, threads: int | None = None) -> None:
        self.request = request
        self.threads = threads
        self._loaded: tuple[BaseRecommender, EncodedDomain] | None = None

    def map(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield a batch of lists with `SCHEMA` for each batch with a column ``user_id``, in the order of the users.

        Raises
        ------
        InputError
            If there is no such column, a user is unknown, or the request is invalid.
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
        request = self.request
        users = batch.column("user_id").cast(pa.large_string()).to_numpy(zero_copy_only=False)
        lists = model.recommend(
            *(encoded, users),
            k=request.top_k,
            do=request.do,
            at=request.at,
            seen=request.seen,
            unknown=request.unknown,
        )
        if not len(lists):
            return _empty()
        # A table can join the several chunks in which the strings of many users come; a batch cannot.
        (one,) = pa.Table.from_pandas(lists, SCHEMA, preserve_index=False).combine_chunks().to_batches()
        return one

    def _load(self) -> tuple[BaseRecommender, EncodedDomain]:
        """Return the model and the encoded domain, loaded once."""
        if self._loaded is None:
            import torch

            from prerec_pyro.data.domain import Domain
            from prerec_pyro.recommenders.calibrated import CalibratedPreRec
            from prerec_pyro.recommenders.prerec import PreRec
            from prerec_pyro.recommenders.registry import load_model

            if self.threads is not None:
                torch.set_num_threads(self.threads)
            model = load_model(Path(self.request.model), self.request.device)
            encoded = model.encode(Domain.load(self.request.domain))
            served: BaseRecommender = model
            if self.request.calibrate:
                if not isinstance(model, PreRec):
                    raise InputError(f"{self.request.model}: a model of {model.name} cannot be calibrated")
                served = CalibratedPreRec(model, only_last=self.request.at is None)
            self._loaded = served, encoded
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        return {"request": self.request, "threads": self.threads, "_loaded": None}


def _empty() -> pa.RecordBatch:
    """Return a batch without lists."""
    return pa.RecordBatch.from_arrays([pa.array([], one.type) for one in SCHEMA], schema=SCHEMA)

"""Shards of users over the workers of Ray Data; what a lost worker was at is done again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from prerec_pyro.errors import InputError
from prerec_pyro.serving.arrow import ArrowRecommender, ListRequest
from prerec_pyro.serving.shards import Shards, write_shard


class ShardWriter:
    """A worker's state: one recommender, which writes the shards that it is given.

    Parameters
    ----------
    question
        What is asked.
    folder
        Where the files go, as every worker sees it.
    threads
        PyTorch's threads in a worker. Another number may round differently.
    """

    def __init__(self, question: ListRequest, folder: str, threads: int) -> None:
        self._recommender = ArrowRecommender(question, threads)
        self._folder = Path(folder)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the lists of each row's users; return ``shard, users, rows``."""
        shards, users = batch.column("shard").to_pylist(), batch.column("user_id").to_pylist()
        rows = [
            write_shard(self._recommender, self._folder, shard, ids) for shard, ids in zip(shards, users, strict=True)
        ]
        return pa.table({"shard": shards, "users": list(map(len, users)), "rows": rows})


def run_on_ray(shards: Shards, question: ListRequest, *, workers: int, threads: int = 1) -> Iterator[dict[str, Any]]:
    """Yield ``shard``, ``users`` and ``rows`` of each shard that had no file, when it has one.

    Joins the cluster that ``RAY_ADDRESS`` names, or starts one on this machine. Every worker must see the folders of
    the model, the domain and the lists.

    Parameters
    ----------
    shards
        Users and folder.
    question
        What is asked.
    workers
        Processes, each with a model of its own.
    threads
        PyTorch's threads in each, and the CPUs that Ray sets aside for it.

    Raises
    ------
    InputError
        If Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError(
            "--engine ray: Ray is not installed; install prerec-pyro[ray], or leave --engine out"
        ) from None
    missing = shards.missing()
    if not missing:
        return
    started = not ray.is_initialized()
    if started:
        ray.init(**_cluster(workers * threads), log_to_driver=False, logging_level="error")
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = [
            pa.table({"shard": [shard], "user_id": [shards.users_of(shard).tolist()]}) for shard in missing
        ]  # a block each, so that workers share them
        done = ray.data.from_arrow(rows).map_batches(
            ShardWriter,
            fn_constructor_kwargs={"question": question, "folder": str(shards.folder.absolute()), "threads": threads},
            batch_format="pyarrow",
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(missing))),
            num_cpus=threads,
        )
        yield from done.iter_rows()
    finally:
        if started:
            ray.shutdown()


def _cluster(cpus: int) -> dict[str, Any]:
    return {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": cpus, "include_dashboard": False}

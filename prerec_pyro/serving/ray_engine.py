"""Shards of users on workers of Ray Data; the shard of a lost worker is repeated."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from prerec_pyro.errors import InputError
from prerec_pyro.serving.arrow import ArrowRecommender, ListRequest
from prerec_pyro.serving.shards import Shards, write_shard


class ShardWriter:
    """State of a worker: one recommender that writes the lists of shards.

    Parameters
    ----------
    request
        Model, domain and options of the lists.
    folder
        Folder of the files, as every worker sees it.
    threads
        Number of PyTorch threads of a worker. Another number may round differently.
    """

    def __init__(self, request: ListRequest, folder: str, threads: int) -> None:
        self._recommender = ArrowRecommender(request, threads)
        self._folder = Path(folder)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the lists of each shard; return ``shard, users, rows``, the numbers of users and of list rows."""
        shards, users = batch.column("shard").to_pylist(), batch.column("user_id").to_pylist()
        rows = [
            write_shard(self._recommender, self._folder, shard, ids) for shard, ids in zip(shards, users, strict=True)
        ]
        return pa.table({"shard": shards, "users": list(map(len, users)), "rows": rows})


def run_on_ray(shards: Shards, request: ListRequest, *, workers: int, threads: int = 1) -> Iterator[dict[str, Any]]:
    """Yield ``shard``, ``users`` and ``rows`` of each missing shard, as soon as its file is written.

    Joins the cluster that ``RAY_ADDRESS`` names, or starts one on this machine. Every worker must see the folders of
    the model, the domain and the lists.

    Parameters
    ----------
    shards
        Users and folder.
    request
        Model, domain and options of the lists.
    workers
        Number of processes, each with its own model.
    threads
        Number of PyTorch threads of each worker, and of the CPUs that Ray reserves for it.

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
        ray.init(**_cluster(workers * threads), log_to_driver=False, logging_level=logging.ERROR)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = [
            pa.table({"shard": [shard], "user_id": [shards.users_of(shard).tolist()]}) for shard in missing
        ]  # one block per shard, so that the workers share them
        done = ray.data.from_arrow(rows).map_batches(
            ShardWriter,
            fn_constructor_kwargs={"request": request, "folder": str(shards.folder.absolute()), "threads": threads},
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
    """Return the options of ``ray.init``: none for an existing cluster."""
    return {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": cpus, "include_dashboard": False}

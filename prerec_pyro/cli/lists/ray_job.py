"""``infer --engine ray``: recommendation lists as a folder with one Parquet file for each shard of users."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prerec_pyro.cli import console
from prerec_pyro.cli import options as shared

if TYPE_CHECKING:
    import numpy as np

    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.serving.arrow import ListRequest

logger = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])


def options(function: F) -> F:
    """Return a command function with the options ``--engine``, ``--workers`` and ``--shard-users``; a decorator."""
    return shared.apply(
        function,
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="local: this process. ray: workers of Ray Data, on the cluster of RAY_ADDRESS or on this machine; "
            "--out is then a folder with one Parquet file for each shard of users, and running the command again "
            "writes the missing files only.",
        ),
        click.option(
            "--workers",
            metavar="N",
            type=click.IntRange(min=1),
            default=2,
            show_default=True,
            help="Ray only: number of worker processes, each with one CPU.",
        ),
        click.option(
            "--shard-users",
            metavar="N",
            type=click.IntRange(min=1),
            default=8192,
            show_default=True,
            help="Ray only: number of users in a file.",
        ),
    )


def run(
    out: Path,
    encoded: EncodedDomain,
    users: np.ndarray,
    request: ListRequest,
    shard_users: int,
    workers: int,
) -> None:
    """Write the shards that are missing in `out`.

    Parameters
    ----------
    out
        Folder to make or to complete.
    encoded
        Domain to recommend in.
    users
        ``(n,)`` ids of the users.
    request
        Model, domain and settings of the lists.
    shard_users
        Number of users in a file.
    workers
        Number of worker processes.

    Raises
    ------
    InputError
        If the time of the request cannot be read, or `out` holds lists of another request.
    """
    from prerec_pyro.data.batching.histories import moment
    from prerec_pyro.serving.ray_engine import run_on_ray
    from prerec_pyro.serving.shards import open_shards

    moment(encoded, request.at)  # check the time here, before every worker fails on it
    manifest = hashlib.sha256((Path(request.model) / "manifest.json").read_bytes()).hexdigest()
    shards = open_shards(out, users, shard_users, request, [manifest, encoded.domain.fingerprint])
    missing = shards.missing()
    if len(missing) < len(shards):
        logger.info("%d of %d files exist already", len(shards) - len(missing), len(shards))
    total = sum(len(shards.users_of(shard)) for shard in missing)
    with console.progress(total, "recommending", unit="users") as bar:
        for done in run_on_ray(shards, request, workers=workers):
            logger.debug("shard %d: %d rows", done["shard"], done["rows"])
            bar.update(done["users"])
    logger.info("wrote %s: %d files", out, len(shards))

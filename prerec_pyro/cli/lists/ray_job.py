"""``infer --engine ray``: a folder of lists, a file for each shard of users."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prerec_pyro.cli import console, outputs
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.cli.lists.users_file import UsersFile
    from prerec_pyro.data.encoded import EncodedDomain

logger = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])


def options(function: F) -> F:
    """Return `function` with the options that say where the work is done (for decorating)."""
    for option in (
        click.option(
            "--shard-users",
            type=click.IntRange(min=1),
            default=8192,
            show_default=True,
            help="For ray: users to a file.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            default=2,
            show_default=True,
            help="For ray: processes, a CPU each.",
        ),
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="ray: on the workers of Ray Data, those of RAY_ADDRESS or of this machine. --out is then a folder, of "
            "one Parquet file for each shard of users; run again, it goes on with the shards that are missing.",
        ),
    ):
        function = option(function)
    return function


def check(out: Path, sources: list[Path], uncertainty: bool) -> None:
    """Check what can be before the work begins; see `outputs.check_out_folder`."""
    outputs.check_out_folder(out, lambda folder: True, sources)
    if uncertainty:
        raise InputError("--uncertainty: not with --engine ray; leave one of the two out")


def run(
    out: Path,
    model: Path,
    domain: Path,
    encoded: EncodedDomain,
    named: UsersFile,
    asked: dict[str, Any],
    shard_users: int,
    workers: int,
) -> None:
    """Write the lists of some users, those shards of them that are missing.

    Raises
    ------
    InputError
        If an option does not go with Ray, or `out` was begun with another question.
    """
    from prerec_pyro.data.batching.histories import moment
    from prerec_pyro.serving.arrow import ListRequest
    from prerec_pyro.serving.ray_engine import run_on_ray
    from prerec_pyro.serving.shards import open_shards

    if named.users is None:
        raise InputError("--users: the file holds histories, and --engine ray serves users of the domain only")
    moment(encoded, asked["at"])  # a time that means nothing is better refused here than by every worker
    question = ListRequest(model=str(model.absolute()), domain=str(domain.absolute()), **asked)
    manifest = hashlib.sha256((model / "manifest.json").read_bytes()).hexdigest()
    shards = open_shards(out, named.users, shard_users, question, [manifest, encoded.domain.fingerprint])
    missing = shards.missing()
    if len(missing) < len(shards):
        logger.info("%d of %d files are there already", len(shards) - len(missing), len(shards))
    users = sum(len(shards.users_of(shard)) for shard in missing)
    with console.progress(users, "recommending", unit="users") as bar:
        for done in run_on_ray(shards, question, workers=workers):
            logger.debug("shard %d: %d rows", done["shard"], done["rows"])
            bar.update(done["users"])
    logger.info("wrote %s: %d files", out, len(shards))

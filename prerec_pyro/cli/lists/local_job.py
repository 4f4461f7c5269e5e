"""``infer`` in this process: recommendation lists as one Parquet, CSV or JSON Lines file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prerec_pyro.cli import console, outputs

if TYPE_CHECKING:
    import pandas as pd

    from prerec_pyro.cli.lists.users_file import UsersFile
    from prerec_pyro.data.encoded import EncodedDomain

logger = logging.getLogger(__name__)
SUFFIXES = (".parquet", ".csv", ".jsonl")
COLUMNS: tuple[str, ...] = ("user_id", "item_id", "score", "rank")
USERS_AT_A_TIME = 8192
"""Users of one call of ``recommend``; it bounds the rows in memory."""


def run(
    out: Path,
    columns: Sequence[str],
    recommend: Callable[..., pd.DataFrame],
    encoded: EncodedDomain,
    named: UsersFile,
    settings: Mapping[str, Any],
) -> None:
    """Write the lists of the users to `out`; the file appears only when it is complete.

    Parameters
    ----------
    out
        File to write; its ending, one of `SUFFIXES`, gives the format.
    columns
        Columns of the lists.
    recommend
        Function with the parameters of ``BaseRecommender.recommend``.
    encoded
        Domain to recommend in.
    named
        Users to recommend to.
    settings
        Keyword arguments of `recommend` besides the users.
    """
    rows = 0
    with outputs.staged_file(out) as partial, _list_writer(partial, out.suffix.lower(), columns) as append:
        for lists in _lists(recommend, encoded, named, settings):
            append(lists)
            rows += len(lists)
    if not rows:
        logger.warning("no user has a list: %s holds no rows", out)
    logger.info("wrote %s: %s rows", out, f"{rows:,}")


def _lists(
    recommend: Callable[..., pd.DataFrame], encoded: EncodedDomain, named: UsersFile, settings: Mapping[str, Any]
) -> Iterator[pd.DataFrame]:
    """Yield tables of lists, each of at most `USERS_AT_A_TIME` users of the domain, or of all new users."""
    users = named.users
    if users is None:
        yield recommend(encoded, histories=named.histories, **settings)
        return
    with console.progress(len(users), "recommending", unit="users") as bar:
        for begin in range(0, len(users), USERS_AT_A_TIME):
            part = users[begin : begin + USERS_AT_A_TIME]
            yield recommend(encoded, part, **settings)
            bar.update(len(part))


@contextmanager
def _list_writer(path: Path, suffix: str, columns: Sequence[str]) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Yield a function that appends a table of lists to a new file in the format of `suffix`."""
    if suffix == ".parquet":
        with _parquet_writer(path, columns) as write:
            yield write
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if suffix == ".csv":
            file.write(",".join(columns) + "\n")
            yield lambda lists: lists.to_csv(file, index=False, header=False, lineterminator="\n")
        else:
            yield lambda lists: lists.to_json(file, orient="records", lines=True, force_ascii=False)


@contextmanager
def _parquet_writer(path: Path, columns: Sequence[str]) -> Iterator[Callable[[pd.DataFrame], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"user_id": pa.string(), "item_id": pa.string(), "score": pa.float32(), "rank": pa.int32()}
    schema = pa.schema([(name, types.get(name, pa.float32())) for name in columns])
    with pq.ParquetWriter(path, schema) as writer:
        yield lambda lists: writer.write_table(pa.Table.from_pandas(lists, schema, preserve_index=False))

"""Lists in one file: the formats, users in parts, and a failed run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prerec_pyro.cli.lists import local_job
from prerec_pyro.errors import InputError
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.list_files import assert_same_lists, read_lists

Infer = Callable[..., pd.DataFrame]


@pytest.mark.parametrize("out", ["deep/er/lists.parquet", "lists.jsonl"])
def test_the_formats_hold_the_same(infer: Infer, tmp_path: Path, out: str) -> None:
    assert_same_lists(infer(out=out), infer())
    assert {path.name for path in (tmp_path / out).parent.iterdir()} <= {Path(out).name, "lists.csv"}
    if out.endswith("parquet"):
        assert pq.read_schema(tmp_path / out).types == [pa.string(), pa.string(), pa.float32(), pa.int32()]
    else:
        assert (tmp_path / out).read_text().startswith('{"user_id":"u2-00000","item_id":"s2-')


def test_lists_do_not_depend_on_the_size_of_the_parts(
    infer: Infer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer(out="whole.csv")
    monkeypatch.setattr(local_job, "USERS_AT_A_TIME", 7)
    infer(out="parts.csv")
    assert_same_lists(infer(out="parts.parquet"), infer(out="parts.jsonl"))
    assert_same_lists(read_lists(tmp_path / "parts.csv"), read_lists(tmp_path / "whole.csv"))


@pytest.mark.parametrize("out", ["old.csv", "old.parquet", "old.jsonl"])
def test_a_failed_run_keeps_the_old_file(
    refused: Callable[..., None],
    world: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
) -> None:
    calls, whole = [], PreRec.recommend

    def fails_later(*arguments: object, **options: object) -> pd.DataFrame:
        calls.append(1)
        if len(calls) > 1:
            raise InputError("no more")
        return whole(*arguments, **options)

    monkeypatch.setattr(PreRec, "recommend", fails_later)
    monkeypatch.setattr(local_job, "USERS_AT_A_TIME", 7)
    (tmp_path / out).write_text("old")
    where = ("--model", model, "--domain", world / "sim-2", "--out", tmp_path / out)
    refused("infer", *where, "--plain", "-q", says="no more")
    assert len(calls) == 2

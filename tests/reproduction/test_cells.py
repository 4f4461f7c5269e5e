"""Cells are written completely or not at all, read again, and identified by everything that determines them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.models.baselines import MostPopular
from prerec_pyro.reproduction.cells import Cell, CellStore, short_hash

KEY = {"row": "pop", "seed": 0, "k_percent": 20.0}


@pytest.fixture
def measured(timed) -> Cell:
    return Cell.from_evaluation(evaluate(MostPopular(), timed, np.arange(10), k_percent=20.0), "test", {"seconds": 1.0})


def test_a_cell_holds_the_numbers_of_evaluate(timed) -> None:
    found = evaluate(MostPopular(), timed, np.arange(10), k_percent=20.0, sources=[timed.domain])
    cell = Cell.from_evaluation(found, "test", {})
    assert cell.rows == {row["subset"]: row for row in found.rows("test")}
    assert cell.arrays["recall"].mean() == pytest.approx(cell.rows["all"]["recall"])
    assert cell.arrays["events"].tolist() == found.events.tolist()
    assert (cell.queries("all").all(), cell.queries("unseen").any()) == (True, False)


def test_a_finished_cell_is_read_and_not_measured_again(tmp_path: Path, measured: Cell) -> None:
    store, calls = CellStore(tmp_path / "cells"), []

    def measure() -> Cell:
        calls.append(1)
        return measured

    first, again = (CellStore(store.folder).get("pop", dict(order), measure) for order in (KEY.items(), KEY.items()))
    assert len(calls) == 1
    for cell in (first, again):
        assert cell.rows == measured.rows
        assert cell.facts == {"seconds": 1.0}
        for name, array in measured.arrays.items():
            assert cell.arrays[name].tolist() == array.tolist()
    store.get("pop", KEY | {"seed": 1}, measure)
    assert len(calls) == 2
    names = sorted(path.name for path in store.folder.iterdir())
    assert len(names) == 4
    assert all(name.startswith("pop-") for name in names)


def test_the_hash_depends_on_the_content() -> None:
    assert short_hash({"a": 1, "b": [2]}) == short_hash({"b": [2], "a": 1})
    assert len({short_hash({"a": value}) for value in (1, 2, "1", None, [1])}) == 5


def test_a_measurement_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> Cell:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CellStore(tmp_path / "cells").get("pop", KEY, fail)
    assert list(tmp_path.iterdir()) == []


def test_arrays_without_a_json_are_an_unfinished_cell(tmp_path: Path, measured: Cell) -> None:
    store = CellStore(tmp_path)
    store.get("pop", KEY, lambda: measured)
    (tmp_path / f"pop-{short_hash(KEY)}.json").unlink()
    calls = []
    store.get("pop", KEY, lambda: calls.append(1) or measured)
    assert calls == [1]


@pytest.mark.parametrize("damage", ["json", "npz", "asked", "short", "missing"])
def test_a_damaged_cell_is_refused_by_name(tmp_path: Path, measured: Cell, damage: str) -> None:
    store = CellStore(tmp_path)
    store.get("pop", KEY, lambda: measured)
    path = tmp_path / f"pop-{short_hash(KEY)}.json"
    content = json.loads(path.read_text())
    if damage == "json":
        path.write_text("{")
    elif damage == "npz":
        path.with_suffix(".npz").write_bytes(b"PK\x03\x04 no")
    elif damage == "missing":
        path.with_suffix(".npz").unlink()
    elif damage == "asked":
        path.write_text(json.dumps(content | {"asked": {}}))
    else:
        np.savez(path.with_suffix(".npz"), **{name: array[:-1] for name, array in measured.arrays.items()})
    with pytest.raises(InputError, match=r"damaged.*delete it and run the command again") as error:
        store.get("pop", KEY, lambda: measured)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)

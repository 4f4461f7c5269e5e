"""Printed table of evaluation rows: the best value of each subset has a star."""

from __future__ import annotations

import pytest

from prerec_pyro.cli.evaluation.table import METRICS, print_rows


def row(method: str, subset: str, value: float | None, **more: object) -> dict[str, object]:
    return {"method": method, "subset": subset, "num_queries": 1200, **dict.fromkeys(METRICS, value), **more}


def test_each_subset_has_its_own_best(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("pop", "all", 0.25), row("pop", "unseen", 0.125), row("sbert", "all", 0.5), row("sbert", "unseen", 0)]
    print_rows(rows, with_folders=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["method", "subset", *METRICS, "mean_popularity", "queries"]
    assert [line.split()[2] for line in lines[1:5]] == ["0.2500", "0.1250*", "0.5000*", "0.0000"]
    assert lines[1].split()[-2:] == ["-", "1,200"]
    assert lines[5:] == ["* the best of its column"]


def test_equal_and_missing_values_get_no_star(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([row("pop", "all", None), row("random", "all", 0.5), row("sbert", "all", 0.5)], with_folders=False)
    assert "*" not in capsys.readouterr().out


def test_folders_of_models(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([row("prerec", "all", 0.5, model="models/a"), row("pop", "all", 0.25)], with_folders=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["prerec", "models/a", "all"]
    assert lines[2].split()[:2] == ["pop", "all"]

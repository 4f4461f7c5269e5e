"""``prerec-pyro data``: import, simulate and describe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result

from prerec_pyro.data import readers
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.simulation import simulate as simulation
from prerec_pyro.data.simulation.ground_truth import load_truth, truth_path

Run = Callable[..., Result]
TABLE3 = "Domain  #Items  #Users  #Inters\nshop         3       2        3\n"


def test_import_logs_rows_read_rows_dropped_and_notes(run: Run, shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "domain"
    result = run("data", "import", "csv", shop, "--out", out)
    assert (result.exit_code, result.stdout) == (0, TABLE3)
    said = result.stderr.splitlines()
    assert said[0] == f"reading {shop}"
    assert said[1] == "read interactions.csv and items.csv: 3 interactions of 2 users with 3 items"
    assert "dropped: 1 rows (duplicate_item_rows)" in said
    assert "dropped: 1 rows (unknown_item)" in said
    assert any(line.startswith("note: items.csv: 1 of 3 items have no text") for line in said)
    assert said[-1] == f"wrote {out}"
    assert Domain.load(out).fingerprint == readers.read_tables(shop).fingerprint
    assert [path.name for path in out.parent.iterdir()] == ["domain"]


def test_import_can_be_quiet(run: Run, shop: Path, tmp_path: Path) -> None:
    result = run("data", "import", "csv", shop, "--out", tmp_path / "out", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, TABLE3, "")


def test_import_of_two_files_with_a_name_and_columns(run: Run, shop: Path, tmp_path: Path) -> None:
    (shop / "interactions.csv").write_text("a,b,c,x\nu,01,1,5\nu,1,0,6\n")
    files = (shop / "items.csv", shop / "interactions.csv")
    # items.csv has no column b, so its item_id is guessed as before.
    columns = ("--column", "user_id=a", "--column", "item_id=b", "--column", "order=c")
    result = run("data", "import", "csv", *files, *columns, "--out", tmp_path / "out", "--name", "Eröffnung 店")
    assert result.exit_code == 0, result.stderr
    domain = Domain.load(tmp_path / "out")
    assert domain.name == "Eröffnung 店"
    assert domain.item_index.tolist() == [1, 0]


def test_import_replaces_an_earlier_domain(run: Run, shop: Path, saved: Path) -> None:
    before = Domain.load(saved).fingerprint
    with (shop / "interactions.csv").open("a") as file:
        file.write("v,1,2015-09-30\n")
    assert run("data", "import", "csv", shop, "--out", saved).exit_code == 0
    assert Domain.load(saved).fingerprint != before


def test_import_recbole(run: Run, tmp_path: Path) -> None:
    (tmp_path / "film.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t200000\nu\tb\t100000\n")
    (tmp_path / "film.item").write_text("item_id:token\ttitle:token_seq\na\tAlien\nb\tBrazil\n")
    result = run("data", "import", "recbole", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert Domain.load(tmp_path / "out").item_index.tolist() == [1, 0]
    assert result.stdout.splitlines()[1].split() == ["film", "2", "1", "2"]


def test_online_retail_has_the_sizes_of_the_paper(run: Run, real_data: Path, tmp_path: Path) -> None:
    result = run("data", "import", "online-retail", real_data / "online-retail", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "dropped: 1,454 rows (empty_description)" in result.stderr
    described = json.loads(run("data", "describe", tmp_path / "out", "--json").stdout)
    assert [described[0][key] for key in ("num_interactions", "num_users", "num_items")] == [540_455, 24_446, 4_223]
    assert described[0]["name"] == "online-retail"


def test_simulate_writes_domains_and_their_variables(run: Run, tmp_path: Path) -> None:
    result = run("data", "simulate", "--out", tmp_path / "sim", "--domains", 2, "--seed", 5)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "sim").iterdir()) == [
        *("sim-0", "sim-0.truth.safetensors", "sim-1", "sim-1.truth.safetensors")
    ]
    for one in simulation.simulate(num_domains=2, seed=5):
        assert Domain.load(tmp_path / "sim" / one.domain.name).fingerprint == one.domain.fingerprint
        assert np.array_equal(load_truth(truth_path(tmp_path / "sim", one.domain.name)).V, one.truth.V)
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["Domain", "sim-0", "sim-1"]
    assert [path.name for path in tmp_path.iterdir()] == ["sim"]


def test_simulate_replaces_earlier_simulations_but_nothing_else(
    run: Run, refused: Callable[..., None], tmp_path: Path
) -> None:
    out = tmp_path / "sim"
    assert run("data", "simulate", "--out", out, "--domains", 2).exit_code == 0
    assert run("data", "simulate", "--out", out, "--domains", 1).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["sim-0", "sim-0.truth.safetensors"]
    (out / "model").mkdir()
    refused("data", "simulate", "--out", out, "--domains", 1, says="neither empty nor an earlier result")


def test_describe_one_domain(run: Run, saved: Path) -> None:
    result = run("data", "describe", saved)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines()[1:8])
    assert result.stdout.splitlines()[0].strip() == "shop"
    assert (rows["num_items"], rows["num_users"], rows["num_interactions"]) == ("3", "2", "3")
    assert rows["first_time"] == "2015-09-27T00:00:00+00:00"
    assert "dropped 1 rows (unknown_item)" in result.stdout


def test_describe_prints_one_line_for_each_of_several_domains(run: Run, saved: Path, tmp_path: Path) -> None:
    frame = {"user_id": ["u"] * 2000, "item_id": ["a"] * 2000, "order": range(2000)}
    items = {"item_id": ["a"], "text": ["apple"]}
    Domain.from_tables(pd.DataFrame(frame), pd.DataFrame(items), name="orchard").save(tmp_path / "orchard")
    lines = run("data", "describe", saved, tmp_path / "orchard").stdout.splitlines()
    assert lines[0].split()[:4] == ["Domain", "#Items", "#Users", "#Inters"]
    assert lines[1].split()[:7] == ["shop", "3", "2", "3", "1", "2015-09-27", "2015-09-29"]
    assert lines[2].split()[:7] == ["orchard", "1", "1", "2,000", "1,999", "-", "-"]
    assert any(line.startswith("shop: dropped 1 rows") for line in lines[3:])


def test_describe_domains_without_times(run: Run, shop: Path, saved: Path, tmp_path: Path) -> None:
    (shop / "interactions.csv").write_text("user,asin,position\nu,01,1\nu,1,2\n")
    assert run("data", "import", "csv", shop, "--out", tmp_path / "out").exit_code == 0
    result = run("data", "describe", tmp_path / "out", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[2].split()[:7] == ["shop", "3", "1", "2", "1", "-", "-"]


def test_describe_as_json_prints_nothing_else(run: Run, saved: Path) -> None:
    result = run("data", "describe", saved, saved, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    described = json.loads(result.stdout)
    assert [one["name"] for one in described] == ["shop", "shop"]
    assert described[0]["table3"] == {"#Items": 3, "#Users": 2, "#Inters": 3}
    assert described[0]["dropped"] == {"duplicate_item_rows": 1, "unknown_item": 1}


def test_the_program_imports_describes_and_rejects(shop: Path, tmp_path: Path) -> None:
    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "prerec_pyro", "data", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)

    imported = program("import", "csv", "shop", "--out", "out")
    assert (imported.returncode, imported.stdout) == (0, TABLE3), imported.stderr
    described = program("describe", "out", "--json")
    assert (described.returncode, described.stderr) == (0, "")
    assert json.loads(described.stdout)[0]["num_interactions"] == 3
    (tmp_path / "out" / "items.parquet").write_bytes(b"PAR1")
    refused = program("describe", "out")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("Error: out/items.parquet: damaged or changed")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "csv", "src"],
        ["import", "csv", "--out", "x"],
        ["import", "excel", "src", "--out", "x"],
        ["import", "online-retail", "one", "two", "--out", "x"],
        ["simulate"],
        ["simulate", "--out", "x", "--domains", "0"],
        ["simulate", "--out", "x", "--seed", "-1"],
        ["simulate", "--out", "x", "--domains", "many"],
        ["describe"],
    ],
)
def test_wrong_usage_is_status_2(run: Run, arguments: list[str]) -> None:
    result = run("data", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: ")

"""``prerec-pyro diagnose``: the printed report, the posterior file, the figures, and rejected options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest

from prerec_pyro.inference.posterior.arviz_io import arviz
from prerec_pyro.inference.posterior.result import Posterior

matplotlib.use("Agg")
QUICK = ("--draws", "40", "--queries", "80", "--device", "cpu")


def diagnose(run: Callable, model: Path, domain: Path, out: Path, *more: object):
    result = run("diagnose", "--model", model, "--domain", domain, "--out", out, *QUICK, *more)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_report_file_and_figures(run: Callable, model: Path, world: Path, tmp_path: Path) -> None:
    out, plots = tmp_path / "p.nc", tmp_path / "pictures"
    page = diagnose(run, model, world / "sim-0", out, "--plots", plots)
    assert "Posterior of sim-0 (trained domain) by laplace" in page
    for line in ("k-hat: ", "calibration: ", "popularity: ", "S[match]: ", "D: ", "Summary: "):
        assert line in page
    assert sorted(path.name for path in plots.iterdir()) == ["calibration.png", "forest.png", "popularity.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots.iterdir())
    data = arviz().from_netcdf(str(out))
    assert data["posterior"]["S"].shape == (1, 40, 1, 6)
    assert list(data["posterior"]["domain"].values) == ["sim-0"]
    assert Posterior.load(out).facts["evaluated_queries"] >= 80
    again = diagnose(run, model, world / "sim-0", out, "--plots", plots)
    assert again == page, "the same seed, the same page; earlier results are replaced"


def test_a_new_domain_by_chains(run: Callable, model: Path, world: Path, tmp_path: Path) -> None:
    more = ("--method", "nuts", "--chains", "2", "--draws", "15", "--plots", tmp_path / "plots")
    page = diagnose(run, model, world / "sim-2", tmp_path / "p.nc", *more)
    assert "(new domain) by nuts" in page
    for check in ("R-hat: ", "ESS bulk: ", "ESS tail: ", "divergences: ", "energy: BFMI"):
        assert check in page
    assert (tmp_path / "plots" / "trace.png").is_file()


def test_variational_inference_reports_whether_its_runs_agree(
    run: Callable, model: Path, world: Path, tmp_path: Path
) -> None:
    page = diagnose(run, model, world / "sim-0", tmp_path / "p.nc", "--method", "vi", "--steps", "20")
    assert "restarts: ELBOs of 3 runs within" in page
    assert "k-hat: " in page


def test_a_point_has_no_error(run: Callable, model: Path, world: Path, tmp_path: Path) -> None:
    page = diagnose(run, model, world / "sim-0", tmp_path / "p.nc", "--method", "delta", "--plots", tmp_path / "plots")
    assert "a MAP is a point" in page
    assert not any(word in page for word in ("ESS", "R-hat", "k-hat", "excludes 0"))
    assert " to " not in page[page.index("Posterior of the domain's variables") : page.index("Summary")], "no interval"
    assert not (tmp_path / "plots" / "forest.png").exists()


def test_models_are_compared_on_the_same_queries(
    run: Callable, model: Path, model_n: Path, world: Path, tmp_path: Path
) -> None:
    page = diagnose(run, model, world / "sim-2", tmp_path / "p.nc", "--compare", model_n)
    lines = page[page.index("Leave-one-out") :].splitlines()
    assert {line.split()[0] for line in lines[2:4]} == {"prerec", model_n.name}


def test_bad_options_are_rejected(refused: Callable, model: Path, model_n: Path, world: Path, tmp_path: Path) -> None:
    def ask(chosen: Path, *more: object, out: str = "p.nc", says: str) -> None:
        domain = ("--domain", world / "sim-0")
        refused("diagnose", "--model", chosen, *domain, "--out", tmp_path / out, *QUICK, *more, says=says)

    ask(model, out="p.csv", says="must end in .nc")
    ask(model_n, says="its graph has no D and no S")
    ask(tmp_path / "none", says="none")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    ask(model, "--plots", tmp_path / "mine", says="so it is not replaced")


@pytest.mark.parametrize("wrong", [("--method", "gibbs"), ("--draws", "1"), ("--queries", "0")])
def test_options_are_checked(run: Callable, wrong: tuple[str, str], tmp_path: Path) -> None:
    result = run("diagnose", "--model", "m", "--domain", "d", "--out", tmp_path / "p.nc", *wrong)
    assert result.exit_code == 2
    assert wrong[0] in result.stderr

"""``infer --uncertainty``: added columns, source of the draws, and rejected options."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from prerec_pyro.causal.uncertainty import COLUMNS, domain_draws, uncertain_lists
from prerec_pyro.data.domain import Domain
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
from prerec_pyro.recommenders.prerec import PreRec


@pytest.fixture(scope="module")
def saved_posterior(model: Path, world: Path, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("posterior") / "sim-0.nc"
    PreRec.load(model, "cpu").posterior(Domain.load(world / "sim-0"), "laplace", draws=20).save(path)
    return path


@pytest.mark.parametrize(
    ("end", "read"),
    [(".csv", pd.read_csv), (".parquet", pd.read_parquet), (".jsonl", lambda path: pd.read_json(path, lines=True))],
)
def test_columns_are_added(run, model: Path, world: Path, tmp_path: Path, end: str, read) -> None:
    out = tmp_path / f"lists{end}"
    where = ("--model", model, "--domain", world / "sim-2", "--out", out, "--device", "cpu")
    result = run("infer", *where, "--uncertainty", "--draws", 4, "--top-k", 5)
    assert result.exit_code == 0, result.stderr
    trained, shop = PreRec.load(model, "cpu"), Domain.load(world / "sim-2")
    expected = uncertain_lists(trained, shop, draws=domain_draws(trained, shop, num_draws=4), k=5)
    found = read(out)
    assert tuple(found.columns) == COLUMNS
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-4, atol=1e-4)


def test_a_trained_domain_uses_its_posterior(
    run, model: Path, world: Path, tmp_path: Path, saved_posterior: Path
) -> None:
    out = tmp_path / "lists.csv"
    where = ("--model", model, "--domain", world / "sim-0", "--out", out, "--device", "cpu")
    result = run("infer", *where, "--uncertainty", "--posterior", saved_posterior)
    assert result.exit_code == 0, result.stderr
    found = pd.read_csv(out)
    assert found["confidence"].between(0, 1).all()
    posterior, trained = Posterior.load(saved_posterior), PreRec.load(model, "cpu")
    shop = Domain.load(world / "sim-0")
    expected = uncertain_lists(PosteriorMeanPreRec(trained, posterior), shop, draws=posterior.thinned(64))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-4, atol=1e-4)


def test_missing_draws_are_reported(
    refused, model: Path, model_n: Path, world: Path, tmp_path: Path, saved_posterior: Path
) -> None:
    out = ("--out", tmp_path / "lists.csv", "--device", "cpu", "-q")
    refused(
        *("infer", "--model", model, "--domain", world / "sim-0", *out, "--uncertainty"),
        says=["sim-0", "write it with `prerec-pyro diagnose` and give it by --posterior"],
    )
    refused(
        *("infer", "--model", model, "--domain", world / "sim-2", *out, "--uncertainty"),
        *("--posterior", saved_posterior),
        says="is of domain 'sim-0', not of 'sim-2'",
    )
    refused(
        *("infer", "--model", model_n, "--domain", world / "sim-2", *out, "--uncertainty"),
        says=["--uncertainty", "which has no D and no S"],
    )


def test_a_point_estimate_is_rejected(refused, model: Path, world: Path, tmp_path: Path, tmp_path_factory) -> None:
    point = tmp_path_factory.mktemp("posterior") / "point.nc"
    PreRec.load(model, "cpu").posterior(Domain.load(world / "sim-0"), "delta").save(point)
    refused(
        *("infer", "--model", model, "--domain", world / "sim-0", "--out", tmp_path / "lists.csv", "-q"),
        *("--uncertainty", "--posterior", point, "--device", "cpu"),
        says="is a point estimate without uncertainty",
    )

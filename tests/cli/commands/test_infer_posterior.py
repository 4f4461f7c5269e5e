"""``infer --posterior``: lists with D and S at their posterior mean, and rejected options."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
from prerec_pyro.recommenders.prerec import PreRec


@pytest.fixture(scope="module")
def saved(model: Path, world: Path, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("posterior") / "sim-2.nc"
    PreRec.load(model, "cpu").posterior(Domain.load(world / "sim-2"), "delta").save(path)
    return path


@pytest.mark.parametrize("calibrate", [False, True])
def test_lists_use_the_posterior_mean(
    run, model: Path, world: Path, tmp_path: Path, saved: Path, calibrate: bool
) -> None:
    out = tmp_path / "lists.csv"
    where = ("--model", model, "--domain", world / "sim-2", "--out", out, "--device", "cpu", "--top-k", 5)
    result = run("infer", *where, "--posterior", saved, *(["--calibrate"] if calibrate else []))
    assert result.exit_code == 0, result.stderr
    trained, shop = PreRec.load(model, "cpu"), Domain.load(world / "sim-2")
    known = CalibratedPreRec(trained, only_last=True) if calibrate else trained
    expected = PosteriorMeanPreRec(known, Posterior.load(saved)).recommend(shop, k=5)
    pd.testing.assert_frame_equal(pd.read_csv(out), expected, check_dtype=False, rtol=1e-4, atol=1e-4)


def test_a_posterior_that_does_not_fit_is_rejected(
    refused, model: Path, model_n: Path, world: Path, tmp_path: Path, saved: Path
) -> None:
    out = ("--out", tmp_path / "lists.csv", "--device", "cpu", "-q", "--posterior", saved)
    refused(
        *("infer", "--model", model, "--domain", world / "sim-0", *out),
        says=["sim-2.nc", "is of domain 'sim-2', not of 'sim-0'"],
    )
    refused(
        *("infer", "--model", model_n, "--domain", world / "sim-2", *out),
        says=["--posterior", "which has no D and no S; leave it out"],
    )
    refused(
        *("infer", "--model", model, "--domain", world / "sim-2", *out, "--engine", "ray"),
        says="--posterior: cannot be combined with --engine ray",
    )

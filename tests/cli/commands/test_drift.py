"""``prerec-pyro drift``: exit statuses and the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prerec_pyro.cli.commands.drift import DRIFTED
from prerec_pyro.data.simulation.simulate import FIRST_DAY, simulate

DAYS = 20


@pytest.fixture(scope="module")
def since() -> str:
    return str(np.datetime64("1970-01-01") + FIRST_DAY + 12)


@pytest.fixture(scope="module")
def shops(since: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store without drift, and one where all users later choose the least popular items."""
    folder = tmp_path_factory.mktemp("shops")
    drawn = simulate(1, seed=3, num_items=40, num_users=250, num_days=DAYS, latent_dim=4)[0]
    vectors = drawn.truth.item_mean @ np.random.default_rng(0).standard_normal((4, 6))
    shop = replace(drawn.domain.with_embeddings(vectors), name="shop")
    late = shop.timestamps >= np.datetime64(since, "s").astype(int)
    rare = np.argsort(np.bincount(shop.item_index, minlength=shop.num_items))[:3]
    odd = np.where(late, rare[np.arange(len(late)) % 3], shop.item_index)
    shop.save(folder / "calm")
    replace(shop, item_index=odd).save(folder / "odd")
    return {name: folder / name for name in ("calm", "odd")}


def ask(run, model: Path, shop: Path, since: str, out: Path, *more: object):
    return run(*("drift", "--model", model, "--domain", shop, "--since", since, "--out", out, "--device", "cpu"), *more)


def test_status_3_means_drift(run, model, shops: dict[str, Path], since: str, tmp_path: Path) -> None:
    expected = {0: "calm", DRIFTED: "odd"}
    for status, name in expected.items():
        out, picture = tmp_path / f"{name}.json", tmp_path / f"{name}.png"
        result = ask(run, model, shops[name], since, out, "--plot", picture, "--max-queries", 400, "-q")
        assert result.exit_code == status, result.stderr
        found = json.loads(out.read_text())
        assert found["drifted"] is (status == DRIFTED)
        assert f"p = {found['p_value']:.2g} (alarm below 0.01)" in result.stdout
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_bad_options_are_rejected(refused, model: Path, shops: dict[str, Path], since: str, tmp_path: Path) -> None:
    where = ("--model", model, "--out", tmp_path / "x.md", "-q", "--device", "cpu")
    refused("drift", "--domain", shops["calm"], *where, "--since", "someday", says="expected an ISO time")
    refused("drift", "--domain", shops["calm"], *where, "--since", "2001-01-01", says="one part of the log")
    refused(
        *("drift", "--domain", shops["calm"], *where, "--since", since, "--posterior", tmp_path / "no.nc"), says="no.nc"
    )

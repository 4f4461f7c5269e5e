"""A posterior as a value: files, summaries, plots, descriptions."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior import arviz_io
from prerec_pyro.inference.posterior.arviz_io import arviz, is_new
from prerec_pyro.inference.posterior.diagnostics import k_hat
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECT_SCALE_STD, EFFECTS

CHAINS, DRAWS, DIM, QUERIES, ITEMS = 2, 40, 3, 7, 5


def posterior(method: str = "nuts", **changes: object) -> Posterior:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    settings = {
        "method": method,
        "domain": "shop",
        "draws": {
            "D": 0.02 * normal(CHAINS, DRAWS, DIM),
            "S": normal(CHAINS, DRAWS, len(EFFECTS)) + torch.arange(len(EFFECTS)),
            "W_z": normal(CHAINS, DRAWS, DIM),
        },
        "prior": {"D": normal(1, 30, DIM), "S": normal(1, 30, len(EFFECTS)), "W_z": normal(1, 30, DIM)},
        "log_likelihood": -normal(CHAINS, DRAWS, QUERIES).abs(),
        "replicated": torch.randint(0, ITEMS, (CHAINS, DRAWS, QUERIES), generator=generator),
        "observed": torch.tensor([0, 1, 1, 4, 0, 1, 2]),
        "events": torch.arange(QUERIES) * 10,
        "statistics": {"diverging": torch.zeros(CHAINS, DRAWS, dtype=torch.bool), "energy": normal(CHAINS, DRAWS)},
        "item_ids": np.array(["a", "b", "ü", "d", "e"], dtype=object),
        "facts": {"num_queries": 7, "scaled_by": 2.5},
    }
    return Posterior(**(settings | changes))


def point() -> Posterior:
    full = posterior()
    return posterior(
        "delta",
        draws={site: value[:1, :1] for site, value in full.draws.items()},
        log_likelihood=full.log_likelihood[:1, :1],
        replicated=full.replicated[:1, :1],
        statistics={},
    )


def with_one_interest() -> Posterior:
    """A posterior of a graph whose S says nothing of how histories are read."""
    full = posterior()
    draws, prior = ({**values, "S": values["S"][..., :4]} for values in (full.draws, full.prior))
    return posterior(draws=draws, prior=prior)


def test_a_saved_posterior_comes_back(tmp_path: Path) -> None:
    given = posterior()
    given.save(tmp_path / "new" / "posterior.nc")
    back = Posterior.load(tmp_path / "new" / "posterior.nc")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["posterior.nc"]
    for one in dataclasses.fields(given):
        was, now = getattr(given, one.name), getattr(back, one.name)
        if isinstance(was, dict) and one.name != "facts":
            assert was.keys() == now.keys()
            for name in was:
                torch.testing.assert_close(was[name], now[name], rtol=0, atol=0)
        elif isinstance(was, torch.Tensor):
            torch.testing.assert_close(was, now, rtol=0, atol=0)
        elif isinstance(was, np.ndarray):
            assert list(was) == list(now)
        else:
            assert was == now


def test_plain_arviz_opens_the_file_and_finds_names(tmp_path: Path) -> None:
    given = posterior()
    given.save(tmp_path / "posterior.nc")
    data = arviz().from_netcdf(str(tmp_path / "posterior.nc"))
    drawn = data["posterior"]
    assert drawn["D"].dims == ("chain", "draw", "domain", "latent")
    assert drawn["S"].dims == ("chain", "draw", "domain", "effect")
    assert drawn["W_z"].dims == ("chain", "draw", "latent")
    popularity = drawn["S"].sel(domain="shop", effect="popularity").values
    np.testing.assert_array_equal(popularity, given.draws["S"][..., 1].numpy())
    assert data["constant_data"]["times_chosen"].sel(item="b").item() == 3
    for group in ("log_likelihood", "posterior_predictive"):
        assert data[group]["R"].dims == ("chain", "draw", "query")
    assert list(data["observed_data"]["query"].values) == [0, 10, 20, 30, 40, 50, 60]
    assert data["prior"]["D"].shape == (1, 30, 1, DIM)


def test_a_file_with_older_names_of_the_effect_scales_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, to_arviz = with_one_interest(), arviz_io.to_arviz

    def older(groups, *, dims, coords, attrs):
        names = {"domain": coords["domain"], "strength": ["match", "popularity", "repeats", "wandering"]}
        names |= {name: values for name, values in coords.items() if name not in ("domain", "effect")}
        return to_arviz(groups, dims=dims | {"S": ("domain", "strength")}, coords=names, attrs=attrs)

    monkeypatch.setattr(arviz_io, "to_arviz", older)
    given.save(tmp_path / "older.nc")
    monkeypatch.undo()
    assert "strength" in arviz_io.read(tmp_path / "older.nc").coords
    back = Posterior.load(tmp_path / "older.nc")
    for site, value in given.draws.items():
        torch.testing.assert_close(back.draws[site], value, rtol=0, atol=0)
    assert list(back.summary().index[:4]) == ["S[match]", "S[popularity]", "S[repeat]", "S[background]"]


def test_every_effect_scale_has_a_name() -> None:
    assert len(EFFECTS) == len(EFFECT_SCALE_STD)


def test_a_summary_has_the_statistics_of_the_draws() -> None:
    given = posterior()
    table = given.summary()
    assert list(table.index[:6]) == [f"S[{name}]" for name in EFFECTS]
    assert len(table) == 6 + 2 * DIM
    D1 = given.draws["D"][..., 1].double().flatten()
    row = table.loc["D[1]"]
    assert row["mean"] == pytest.approx(float(D1.mean()))
    assert row["sd"] == pytest.approx(float(D1.std()))
    assert row["5%"] == pytest.approx(float(D1.quantile(0.05)))
    assert row["95%"] == pytest.approx(float(D1.quantile(0.95)))
    assert abs(row["r_hat"] - 1) < 0.1
    assert 20 < row["ess_bulk"] < 200


def test_with_one_interest_there_are_four_effect_scales(tmp_path: Path) -> None:
    given = with_one_interest()
    names = [f"S[{name}]" for name in EFFECTS[:4]]
    assert [name for name in given.summary().index if name.startswith("S")] == names
    given.save(tmp_path / "p.nc")
    back = Posterior.load(tmp_path / "p.nc")
    assert [name for name in back.summary().index if name.startswith("S")] == names
    assert list(given.to_arviz()["posterior"]["effect"].values) == list(EFFECTS[:4])


def test_only_chains_have_convergence() -> None:
    assert list(posterior("laplace").summary().columns) == ["mean", "sd", "5%", "95%"]


def test_a_MAP_has_a_value_and_no_interval() -> None:
    given = point()
    table = given.summary()
    assert list(table.columns) == ["value"]
    assert table.loc["S[match]", "value"] == pytest.approx(float(given.draws["S"][0, 0, 0]))
    with pytest.raises(InputError, match="has no interval"):
        given.plot()


def test_a_plot_has_a_line_for_each_effect_scale() -> None:
    import matplotlib

    matplotlib.use("Agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ's own drawing warns
        drawn = posterior().plot()
    if not is_new(arviz()):
        labels = " ".join(text.get_text() for text in drawn[0].get_yticklabels())
        assert all(name in labels for name in EFFECTS)
    with pytest.raises(InputError, match="expected some of D, S, W_z"):
        posterior().plot(("Q",))


def test_thinned_draws_of_all_sites_come_from_the_same_rows() -> None:
    given = posterior()
    few = given.thinned(10)
    flat = {site: value.flatten(0, 1) for site, value in given.draws.items()}
    for row in range(10):
        which = (flat["D"] == few["D"][row]).all(1).nonzero().item()
        torch.testing.assert_close(flat["S"][which], few["S"][row], rtol=0, atol=0)
    assert len(given.thinned(10_000)["D"]) == CHAINS * DRAWS


def test_files_and_values_that_are_no_posterior_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        Posterior.load(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(InputError, match="no posterior in netCDF"):
        Posterior.load(tmp_path / "text.nc")
    other = arviz().from_dict(
        *([{"posterior": {"x": np.zeros((1, 5))}}] if is_new(arviz()) else [{"x": np.zeros((1, 5))}])
    )
    other.to_netcdf(str(tmp_path / "other.nc"))
    with pytest.raises(InputError, match="no posterior of prerec-pyro"):
        Posterior.load(tmp_path / "other.nc")
    with pytest.raises(InputError, match="expected one of delta, laplace, normal, low_rank, nuts"):
        posterior("magic")
    with pytest.raises(ValueError, match="num_chains, num_draws"):
        posterior(draws={"D": torch.zeros(1, 2, 3), "S": torch.zeros(1, 3, 4)})
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        posterior().save(tmp_path / "file" / "posterior.nc")


def test_a_description_has_the_worst_number_of_the_chains() -> None:
    given = posterior()
    given.draws["D"][0, :, 2] += 5  # one chain is elsewhere
    given.statistics["diverging"][1, :3] = True
    lines = repr(given).splitlines()
    assert lines[0] == "Posterior of domain 'shop'"
    assert [line.split(maxsplit=1)[0] for line in lines[1:]] == ["method", "sites", "draws", "point", "diagnostic"]
    text = " ".join(lines)
    for part in ("nuts", "D (3,), S (6,), W_z (3,)", "2 chains × 40 draws", "point       no", "(D[2]), 3 divergences"):
        assert part in text
    r_hat = float(text.split("R-hat ")[1].split(" ")[0])
    assert r_hat == pytest.approx(given.summary()["r_hat"].max(), abs=1e-3)


def test_a_description_of_a_gaussian_has_its_k_hat() -> None:
    x = torch.randn(1, 400, 4, generator=torch.Generator().manual_seed(0)).double()
    statistics = {"lp": -0.5 * (1.05 * x).square().sum(-1), "log_q": -0.5 * x.square().sum(-1)}
    text = repr(Posterior("laplace", "shop", {"S": x}, statistics=statistics))
    ratios = (statistics["lp"] - statistics["log_q"])[0].numpy()
    assert f"k-hat {k_hat(ratios):.2f}" in text
    assert "1 chain × 400 draws" in text


def test_descriptions_without_a_diagnostic() -> None:
    text = repr(point())
    assert "1 chain × 1 draw" in text
    assert "yes, a MAP without spread" in text
    assert "none, a point has no spread" in text
    assert "not known" in repr(posterior("laplace", statistics={}))
    still = Posterior("nuts", "shop", {"S": torch.ones(2, 10, 4)})
    assert "R-hat not known" in repr(still), "a number that never moves has no R-hat"
    assert "not known" in repr(Posterior("nuts", "shop", {"S": torch.ones(2, 2, 4)})), "too few draws"
    no_latent = Posterior("delta", "shop", {}, log_likelihood=torch.zeros(1, 1, 3))
    assert "sites       none" in repr(no_latent)


def test_a_description_in_html_is_escaped() -> None:
    table = posterior("laplace", domain="<script>", statistics={})._repr_html_()
    assert "<script>" not in table
    assert "&lt;script&gt;" in table
    assert "<th>method</th><td>laplace</td>" in table
    assert len(repr(posterior("laplace", domain="two\nlines", statistics={})).splitlines()) == 6

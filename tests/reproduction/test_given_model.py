"""Rows that start from a trained model: their numbers, their keys, and the models that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.reproduction.figure3 import FIGURE3, curves
from prerec_pyro.reproduction.given_model import GivenModel
from prerec_pyro.reproduction.rows import chosen
from prerec_pyro.reproduction.study import Study
from tests.support.models import prerec, shaken, small_domain, training
from tests.support.studies import K_PERCENT, tiny_settings, tiny_study

ROWS = chosen(FIGURE3, ["pop", "prerec", "prerec_calibrated", "prerec_scratch", "prerec_fine_tuned"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("given") / "base"
    shaken(prerec(training=training(epochs=1)).fit([small_domain("one", seed=9), small_domain("two", seed=8)])).export(
        out
    )
    return out


def study_from(folder: Path, out: Path, **plan: object) -> Study:
    return tiny_study(out, given=GivenModel.load(folder, "cpu"), **plan)


def test_rows_of_its_method_start_from_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = PreRec.load(folder, "cpu")
    monkeypatch.setattr(PreRec, "fit", lambda *_, **__: pytest.fail("pre-trained a model"))
    study = study_from(folder, tmp_path)
    shop = study.targets[0]
    by_name = {row.name: row for row in ROWS}
    users = split_users(shop.domain).test
    tuned = model.fine_tune(shop, training=tiny_settings("prerec").target.model_copy(update={"seed": 1}), num_samples=5)
    for name, recommender, samples in (("prerec", model, None), ("prerec_fine_tuned", tuned, 5)):
        measured = study.cell(by_name[name], shop, 1, samples=samples).rows["all"]
        sources = [source.domain for source in study.sources]
        assert measured == evaluate(recommender, shop, users, k_percent=K_PERCENT, sources=sources).rows("test")[0]


def test_one_model_is_measured_once_and_fine_tuned_with_each_seed(folder: Path, tmp_path: Path) -> None:
    study = study_from(folder, tmp_path)
    report = curves(study, ROWS, [5])
    seeds = {r["row"]: r["seeds"] for r in report.rows}
    assert seeds == {"pop": 1, "prerec": 1, "prerec_calibrated": 1, "prerec_scratch": 2, "prerec_fine_tuned": 2}
    assert report.about["from"] == [str(folder), study.plan.given.hash]
    assert f"PreRec starts from the model {folder} ({study.plan.given.hash}). " in report.to_markdown()
    again = curves(study_from(folder, tmp_path), ROWS, [5])
    assert again.to_json() == report.to_json()


def test_cells_belong_to_the_weights(folder: Path, tmp_path: Path) -> None:
    def keys(study: Study) -> dict[str, str]:
        return {row.name: str(study._key(row, study.targets[0], 0)) for row in ROWS}

    plain, given = keys(tiny_study(tmp_path)), keys(study_from(folder, tmp_path))
    assert {name for name in plain if plain[name] != given[name]} == {
        *("prerec", "prerec_calibrated", "prerec_fine_tuned")
    }
    other = shaken(prerec(training=training(epochs=0, seed=4)).fit([small_domain("one")]))
    other.export(tmp_path / "other")
    assert keys(study_from(tmp_path / "other", tmp_path))["prerec"] != given["prerec"]


@pytest.mark.parametrize("portable", [True, False])
def test_a_target_that_it_was_trained_on_is_refused(tmp_path: Path, portable: bool) -> None:
    model = prerec(training=training(epochs=0)).fit([small_domain("shop", seed=2)])
    (model.export if portable else model.save)(tmp_path / "model")
    with pytest.raises(InputError, match=r"model: was trained on a domain called 'shop', so this target is not new"):
        study_from(tmp_path / "model", tmp_path / "out")


def test_another_normaliser_or_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    prerec(training=training(epochs=0), normalizer="active").fit([small_domain("one")]).save(tmp_path / "active")
    with pytest.raises(InputError, match="was trained with --normalizer active"):
        GivenModel.load(tmp_path / "active", "cpu")
    given = GivenModel.load(folder, "cpu")
    reader = prerec()
    given.check_encoder(reader)
    reader.encoder_name, reader.encoder_revision = "other", "sha256:1"
    with pytest.raises(InputError, match="the domains are encoded by 'other', revision sha256:1"):
        given.check_encoder(reader)

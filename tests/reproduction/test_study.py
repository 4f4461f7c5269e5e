"""A study measures each cell once, with the numbers of `evaluate`, and resumes after an interruption."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from prerec_pyro.data.newcomers import NewcomerPopularity
from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.inference.trained_domains import NEWCOMERS
from prerec_pyro.models.baselines import MostPopular
from prerec_pyro.models.graphs.config import ExtendedConfig, PaperConfig, UnconfoundedConfig
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.registry import new_model
from prerec_pyro.reproduction import study as study_module
from prerec_pyro.reproduction.plan import MethodSettings, Plan
from prerec_pyro.reproduction.rows import FLAT, TABLE1, TABLE2, chosen
from prerec_pyro.reproduction.study import Study
from prerec_pyro.reproduction.tables import table
from prerec_pyro.training import checkpoint
from prerec_pyro.training.recipes import FEW_SHOT
from tests.support.models import small_domain
from tests.support.studies import K_PERCENT, tiny_settings, tiny_study

ROWS = {row.name: row for row in TABLE1 + TABLE2}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Numbers of evaluations and of PreRec trainings."""
    calls = {"evaluate": 0, "fit": 0}

    def count(name: str, whole):
        def counting(*arguments, **options):
            calls[name] += 1
            return whole(*arguments, **options)

        return counting

    monkeypatch.setattr(study_module, "evaluate", count("evaluate", study_module.evaluate))
    monkeypatch.setattr(PreRec, "fit", count("fit", PreRec.fit))
    return calls


def by_hand(seed: int) -> tuple[PreRec, object]:
    """A PreRec as the tiny study trains it, and the encoded target."""
    settings = tiny_settings("prerec")
    training = settings.sources.model_copy(update={"seed": seed})
    model = new_model("prerec", graph=settings.shape, training=training, window=3, device="cpu")
    encoded = [model.encode(small_domain(n, num_users=24, seed=s)) for s, n in enumerate(("one", "two", "shop"))]
    return model.fit(encoded[:2]), encoded[2]


def test_the_numbers_are_those_of_evaluate(tmp_path: Path) -> None:
    study = tiny_study(tmp_path)
    model, shop = by_hand(seed=1)
    split = split_users(shop.domain)
    tuned = model.fine_tune(shop, training=tiny_settings("prerec").target.model_copy(update={"seed": 1}), num_samples=5)
    expected = {
        "prerec": model,
        "prerec_calibrated": CalibratedPreRec(model, split.train),
        "prerec_fine_tuned": tuned,
    }
    for name, recommender in expected.items():
        sources = [source.domain for source in study.sources]
        row = evaluate(recommender, shop, split.test, k_percent=K_PERCENT, sources=sources).rows("test")[0]
        cell = study.cell(ROWS[name], study.targets[0], 1, samples=5 if name == "prerec_fine_tuned" else None)
        assert cell.rows["all"] == row
    assert cell.facts["num_samples"] == 5


def test_a_target_is_measured_with_the_newcomers_of_its_model() -> None:
    model, shop = by_hand(seed=1)
    learnt = NewcomerPopularity(np.ones(3), 0.5, 2)
    model.sources.nodes[NEWCOMERS] = torch.from_numpy(learnt.as_array())
    assert study_module._as_served(shop, MostPopular()) is shop
    for one in (model, CalibratedPreRec(model)):
        assert study_module._as_served(shop, one).newcomers.learnt.unseen == 0.5


def test_an_interrupted_run_resumes(tmp_path: Path, counted, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = chosen(TABLE1, ["pop", "prerec"])
    whole = study_module.evaluate

    def cut(*arguments, **options):
        if counted["evaluate"] == 2:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(study_module, "evaluate", cut)
        table(tiny_study(tmp_path), "table1", rows)
    assert counted == {"evaluate": 2, "fit": 2}
    report = table(tiny_study(tmp_path), "table1", rows)
    assert counted == {"evaluate": 3, "fit": 2}  # pop once, prerec with two seeds; a model a seed
    assert table(tiny_study(tmp_path), "table1", rows).to_json() == report.to_json()
    assert counted == {"evaluate": 3, "fit": 2}
    table(tiny_study(tmp_path, split="validation"), "table1", rows)
    assert counted == {"evaluate": 6, "fit": 2}  # other queries, the same models
    table(tiny_study(tmp_path, window=2), "table1", chosen(TABLE1, ["pop"]))
    assert counted["evaluate"] == 7


def test_studies_share_encoded_domains_and_cells_that_no_source_changes(tmp_path: Path, counted) -> None:
    plan = Plan(seeds=1, window=3, device="cpu")
    template = plan.template()
    one, two, shop = (
        template.encode(small_domain(name, seed=seed)) for seed, name in enumerate(("one", "two", "shop"))
    )
    for sources in ([one], [two]):
        study = Study(tmp_path, sources, [shop], [K_PERCENT], plan, template=template, unseen=False)
        assert (study.sources, study.targets) == (sources, [shop])
        cell = study.cell(ROWS["pop"], shop, 0)
    assert counted["evaluate"] == 1
    assert set(cell.rows) == {"all"}


def test_a_sample_is_another_cell_of_drawn_users(tmp_path: Path, counted) -> None:
    cells = []
    for number in (None, 10):
        study = tiny_study(tmp_path, max_queries=number)
        cells.append(study.cell(ROWS["pop"], study.targets[0], 0))
    assert counted["evaluate"] == 2
    whole, sample = (set(cell.arrays["users"].tolist()) for cell in cells)
    assert sample < whole
    assert 10 <= cells[1].rows["all"]["num_queries"] < cells[0].rows["all"]["num_queries"]
    assert study.about()["max_queries"] == 10


def test_an_unfinished_training_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row, seen, whole = ROWS["prerec"], [], PreRec.fit

    def cut(self, *arguments, resume, progress_folder, **options):
        seen.append(resume)
        whole(self, *arguments, resume=resume, progress_folder=progress_folder, **options)
        if len(seen) == 1:
            raise KeyboardInterrupt
        return self

    monkeypatch.setattr(PreRec, "fit", cut)
    with pytest.raises(KeyboardInterrupt):
        tiny_study(tmp_path).cell(row, tiny_study(tmp_path).targets[0], 0)
    study = tiny_study(tmp_path)
    study.cell(row, study.targets[0], 0)
    assert seen == [False, True]
    assert [path.name[:13] for path in (tmp_path / "models").iterdir()] == ["prerec-seed0-"]


def test_settings_and_samples_make_other_cells(tmp_path: Path, counted) -> None:
    study, row = tiny_study(tmp_path), ROWS["sasrec_scratch"]
    shop = study.targets[0]
    assert study.num_samples(shop) > 10
    cells = [study.cell(row, shop, 0, samples) for samples in (2, 4, None, 2)]
    assert counted["evaluate"] == 3
    assert [cell.facts["num_samples"] for cell in cells] == [2, 4, None, 2]
    other = tiny_study(tmp_path, methods={"sasrec": tiny_settings("sasrec", learning_rate=0.5)})
    other.cell(row, shop, 0, 2)
    assert counted["evaluate"] == 4


def test_a_model_of_another_format_is_another_cell(tmp_path: Path, counted, monkeypatch) -> None:
    row, study = ROWS["sasrec_scratch"], tiny_study(tmp_path)
    study.cell(row, study.targets[0], 0, 2)
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", checkpoint.FORMAT_VERSION + 1)
    study.cell(row, study.targets[0], 0, 2)
    assert counted["evaluate"] == 2


def test_table2_has_its_rows(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, seeds=1)
    report = table(study, "table2", TABLE2)
    names = ["random", "pop", "sbert", "gru4rec_scratch", "sasrec_scratch", "unisrec_fine_tuned"]
    assert [row["row"] for row in report.rows if row["subset"] == "all"] == [
        *names,
        "prerec_scratch",
        "prerec_fine_tuned",
    ]
    assert {one["row"] for one in report.comparisons} == {"prerec_fine_tuned"}
    text = report.to_markdown()
    assert text.startswith("# Table 2: full fine-tuning\n\nSources: one, two. Test users")
    assert r"| SASRec\* |" in text
    assert "±" not in text, "one seed has no interval"
    assert report.to_json()["about"]["targets"] == ["shop"]


def test_which_rows_there_are() -> None:
    assert [row.label for row in TABLE1] == [
        *(
            "Random",
            "POP",
            "SBERT",
            "ZESRec",
            "UniSRec",
            "PreRec_n",
            "PreRec, the paper's graph",
            "PreRec",
            "PreRec, calibrated",
        )
    ]
    assert [row.name for row in chosen(TABLE1, ["prerec", "pop"])] == ["pop", "prerec"]
    assert chosen(TABLE2, None) == TABLE2
    assert len({row.name for row in {*TABLE1, *TABLE2, *FLAT}}) == 14
    assert (ROWS["pop"].seeds(3), ROWS["prerec"].seeds(3)) == (range(1), range(3))
    assert [row.name for row in TABLE2 if row.from_scratch] == ["gru4rec_scratch", "sasrec_scratch", "prerec_scratch"]
    with pytest.raises(InputError, match="'best' is no row here; expected some of random, pop"):
        chosen(TABLE1, ["best"])


def test_invalid_studies_are_refused(tmp_path: Path) -> None:
    one, shop = small_domain("one"), small_domain("shop", seed=1)
    for sources, targets, k, says in (
        ([one], [], [20.0], "there is no target"),
        ([one], [small_domain("one", seed=2)], [20.0], "two domains are called 'one'"),
        ([one], [shop], [20.0, 30.0], "is given 2 times for 1 targets"),
        ([one], [shop], [0.01], "--k-percent 0.01: target 'shop': "),
        ([one], [small_domain("lone", num_users=1, seed=2)], [20.0], "no test user has two events"),
    ):
        with pytest.raises(InputError, match=says):
            Study(tmp_path, sources, targets, k, Plan(device="cpu"))
    renamed = type(one)(
        name="other",
        item_ids=one.item_ids,
        item_texts=one.item_texts,
        user_ids=one.user_ids,
        offsets=one.offsets,
        item_index=one.item_index,
        timestamps=one.timestamps,
        embeddings=one.embeddings,
    )
    with pytest.raises(InputError, match="'one' and 'other' hold the same data"):
        Study(tmp_path, [one], [renamed], [20.0], Plan(device="cpu"))
    assert list(tmp_path.iterdir()) == []


def test_default_settings_are_the_tuned_ones() -> None:
    assert MethodSettings.default("prerec").target == FEW_SHOT
    assert type(MethodSettings.default("prerec").shape) is ExtendedConfig
    assert type(MethodSettings.default("prerec_paper").shape) is PaperConfig
    assert type(MethodSettings.default("prerec_n").shape) is UnconfoundedConfig
    assert "seed" not in MethodSettings.default("unisrec").as_json(("sources",))["sources"]
    default = MethodSettings.default("prerec")
    default.check("prerec")
    with pytest.raises(InputError, match="no multiple of num_heads"):
        dataclasses.replace(default, shape=default.shape.model_copy(update={"num_heads": 3})).check("prerec")

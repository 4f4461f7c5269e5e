"""The search: its space is Table 4, it finds the best point, continues, and never uses test users."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation import protocol
from prerec_pyro.evaluation.protocol import num_queries, validation_score
from prerec_pyro.models.priors import Priors
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.reproduction import tuning
from prerec_pyro.reproduction.model_store import untrained
from prerec_pyro.reproduction.plan import MethodSettings
from prerec_pyro.reproduction.tuning import TABLE4, Search, options, require_optuna, tune
from tests.support.models import small_domain
from tests.support.studies import tiny_settings

pytest.importorskip("optuna")
TEMPLATE = PreRec(window=3, device="cpu")


def search(method: str = "prerec", *, target: bool = False, **changes: object) -> Search:
    encoded = [TEMPLATE.encode(small_domain(n, num_users=24, seed=s)) for s, n in enumerate(("one", "two", "shop"))]
    settings = changes.pop("settings", tiny_settings(method))
    return Search(method, settings, encoded[:2], encoded[2] if target else None, TEMPLATE, **changes)


def test_the_space_is_table_4_and_the_current_settings() -> None:
    default = MethodSettings.default("prerec")
    found = search(settings=default)
    space = found.space()
    assert space["learning_rate"] == [3e-5, 5e-5, 3e-4, 3e-3, 3e-2]
    assert space["num_layers"] == list(TABLE4["num_layers"])
    assert space["num_heads"] == [1, 2, 4, 8], "the numbers that divide every width"
    number = sum(num_queries(e.domain, split_users(e.domain).train) for e in found.sources)
    scales = [1 / math.sqrt(weight * number) for weight in (300, 30, 3, 0.3, 0.03)]
    assert space["prior_D"] == pytest.approx(sorted([*scales, Priors().D.scale]), rel=5e-3)
    assert space["prior_V"] == pytest.approx(sorted([1 / math.sqrt(100 * number), Priors().V.scale]), rel=5e-3)
    assert all(value in space[name] for name, value in found.default().items())
    assert set(found.default()) == set(space)


def test_a_method_is_searched_over_its_own_settings() -> None:
    assert {"prior_D", "prior_V"} <= set(search("prerec_paper").space())
    assert {"prior_D", "prior_V"} & set(search("prerec_n").space()) == {"prior_V"}
    assert set(search("gru4rec").space()) == {
        *("learning_rate", "batch_tokens", "num_negatives", "num_layers", "latent_dim")
    }
    fixed = search(fixed=frozenset({"latent_dim", "prior_D", "learning_rate"}))
    assert not {"latent_dim", "prior_D", "learning_rate"} & set(fixed.space())
    assert fixed.space()["num_heads"] == [1, 2, 4]  # of a width of 4


def test_the_score_uses_validation_users(monkeypatch: pytest.MonkeyPatch) -> None:
    point = {"learning_rate": 0.01, "prior_D": 0.3}
    measured = []
    whole = protocol.evaluate
    monkeypatch.setattr(
        protocol, "evaluate", lambda r, e, users, **o: measured.append((e, users)) or whole(r, e, users, **o)
    )
    here = search(target=True)
    found = here.score(point)
    model = untrained("prerec", here.settings, here.settings.sources, 0, TEMPLATE)
    model.training = model.training.model_copy(update={"learning_rate": 0.01})
    model.priors = type(model.priors)(D=type(model.priors.D)(0.3))
    model.fit(here.sources)
    validation = split_users(here.target.domain).validation
    training = model.training
    assert found == validation_score(
        model, [(here.target, validation)], training.k_percent, training.recipe.validation_queries
    )
    for encoded, users in measured:
        assert np.isin(users, split_users(encoded.domain).validation).all()
    on_sources = search()
    assert on_sources.score(point) == pytest.approx(model.facts["validation_r_ndcg"])


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Scored points; the best has a learning rate of 3e-3 and 128 negatives."""
    seen: list[dict] = []

    def score(_self: Search, point: dict) -> float:
        seen.append(dict(point))
        return 0.5 - abs(math.log10(point["learning_rate"] / 3e-3)) / 10 - abs(point["num_negatives"] - 128) / 1e4

    monkeypatch.setattr(Search, "score", score)
    return seen


def test_the_best_point_is_found_and_the_run_continues(scores: list[dict], tmp_path: Path) -> None:
    few = search(fixed=frozenset({"latent_dim", "num_layers", "num_heads", "batch_tokens", "prior_D", "prior_V"}))
    first = tune(few, 3, tmp_path / "journal")
    assert scores[0] == few.default()
    assert [trial["number"] for trial in first["trials"]] == [0, 1, 2]
    found = tune(few, 40, tmp_path / "journal")
    assert found["trials"][:3] == first["trials"]
    assert len(found["trials"]) == 40
    assert found["best"]["settings"] == {"learning_rate": 3e-3, "num_negatives": 128}
    assert found["default"]["validation_r_ndcg"] == first["trials"][0]["validation_r_ndcg"]
    points = [tuple(sorted(point.items())) for point in scores]
    assert len(set(points)) == len(points), "a point is trained once"
    tune(few, 40, tmp_path / "journal")
    assert len(scores) == len(points)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    text = found["options"]
    assert text.startswith("--method prerec --set batch_tokens=40 --set latent_dim=4 ")
    assert "--set learning_rate=0.003 --set num_negatives=128" in text


def test_other_settings_are_another_search(scores: list[dict], tmp_path: Path) -> None:
    tune(search(), 2, tmp_path / "journal")
    assert len(tune(search(split_seed=1), 1, tmp_path / "journal")["trials"]) == 1
    assert len(scores) == 3


def test_a_failed_trial_is_logged_and_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog) -> None:
    def score(_self: Search, point: dict) -> float:
        if point["learning_rate"] > 1e-3:
            raise InputError("the model has diverged")
        return 0.1

    monkeypatch.setattr(Search, "score", score)
    found = tune(search(), 12, tmp_path / "journal")
    assert {trial["state"] for trial in found["trials"]} == {"complete", "fail"}
    assert "the model has diverged" in caplog.text
    monkeypatch.setattr(Search, "score", lambda *_: (_ for _ in ()).throw(InputError("no model")))
    with pytest.raises(InputError, match="none of the 2 trials succeeded; no model"):
        tune(search(), 2, tmp_path / "other")


def test_options_name_priors() -> None:
    point = {"num_heads": 2, "prior_D": 0.0115}
    assert list(options(search(), point)) == ["--method prerec", "--set num_heads=2", "--prior D=normal:scale=0.0115"]


def test_invalid_searches_are_refused(scores: list[dict], tmp_path: Path, monkeypatch) -> None:
    every = frozenset({*TABLE4, "prior_D", "prior_V"})
    with pytest.raises(InputError, match="every setting is fixed"):
        tune(search(fixed=every), 2, tmp_path / "journal")
    (tmp_path / "journal").write_text("no journal\n")
    with pytest.raises(InputError, match="cannot be read as optuna's journal"):
        tune(search(), 2, tmp_path / "journal")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'prerec-pyro\[tune\]'"):
        require_optuna()
    assert tuning.TABLE4["num_heads"][-1] == 12

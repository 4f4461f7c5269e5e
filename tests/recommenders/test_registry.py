"""Methods by name: what is made, what is read back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prerec_pyro.cli.commands import train
from prerec_pyro.errors import InputError
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.registry import GRAPH_OF, METHODS, load_model, new_model
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training.baseline_configs import BaselineTraining, defaults
from prerec_pyro.training.recipes import FINE_TUNING
from tests.support.models import graph_config, small_domain, training


@pytest.mark.parametrize("method", METHODS)
def test_each_is_made_and_read_back_by_its_name(method: str, tmp_path: Path) -> None:
    if method in LEARNED:
        options = {"config": LEARNED[method].config(latent_dim=4, num_layers=1), "training": BaselineTraining(epochs=0)}
    else:
        options = {"graph": graph_config(GRAPH_OF[method]), "training": training(epochs=0)}
    model = new_model(method, device="cpu", **options)
    assert model.name == method
    assert type(model) is (TextBaseline if method in LEARNED else PreRec)
    model.fit([small_domain("a")]).save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", device="cpu")
    assert (type(loaded), loaded.name) == (type(model), method)


def test_the_command_line_offers_them_all() -> None:
    assert train.METHODS == METHODS
    assert set(LEARNED) < set(METHODS)


@pytest.mark.parametrize("method", LEARNED)
def test_every_baseline_has_the_paper_s_width_and_depth(method: str) -> None:
    config = LEARNED[method].config()
    assert (config.latent_dim, config.num_layers) == (256, 2)
    assert set(LEARNED[method].tunable) <= set(type(config).model_fields)
    assert defaults(method, tuned=True).num_negatives == FINE_TUNING.num_negatives, "all compete for the same items"
    assert not set(type(config).model_fields) & set(BaselineTraining.model_fields), "a name of --set means one thing"


def test_what_is_no_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'magic' is none of prerec, prerec_paper, prerec_n, zesrec"):
        new_model("magic")
    with pytest.raises(InputError, match="no such model folder"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "manifest.json").write_text(json.dumps({"method": "magic"}))
    with pytest.raises(InputError, match=r"holds a model of method 'magic'; this version has prerec"):
        load_model(tmp_path)

"""What each graph can be asked: one table of operations, each of which works or names the node that is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from prerec_pyro.causal.drift.drift import drift_report
from prerec_pyro.causal.uncertainty import uncertain_lists
from prerec_pyro.errors import InputError
from prerec_pyro.recommenders.backdoor_adjusted import BackdoorAdjustedPreRec
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.models import DIM, FIRST_DAY, prerec, shaken, small_domain, training

GRAPHS = ("extended", "paper", "unconfounded")
A, B = small_domain("a", num_items=15, num_users=40, seed=1), small_domain("b", num_items=9, seed=2)
NEW = small_domain("new", num_items=12, num_users=60, seed=3)
USERS = np.arange(NEW.num_users)


@pytest.fixture(scope="module")
def models() -> dict[str, PreRec]:
    return {graph: shaken(prerec(graph, training=training(epochs=2)).fit([A, B])) for graph in GRAPHS}


def changes_lists(do: dict[str, Any]) -> Callable[[PreRec], None]:
    """The intervention moves the lists of a trained domain."""

    def check(model: PreRec) -> None:
        plain, found = model.recommend(A, k=5), model.recommend(A, k=5, do=do)
        assert not np.allclose(found["score"], plain["score"])
        same = model.recommend(A, k=5, do=do, semantics="counterfactual")
        assert same["user_id"].equals(found["user_id"])

    return check


def dial(model: PreRec) -> None:
    found = model.popularity_dial(NEW, [0, 1], users=USERS, k_percent=20.0, draws=5)
    assert set(found.table["value"]) == {0.0, 1.0}
    assert found.table["mrr"].between(0, 1).all()


def effect(model: PreRec) -> None:
    found = model.effect_report(NEW, users=USERS, k_percent=20.0, draws=5)
    assert len(found.by_popularity) > 0 and len(found.users) > 0


def laplace(model: PreRec) -> None:
    found = model.posterior(NEW, "laplace", draws=5)
    assert set(found.draws) == {"D", "S"} & set(model.graph.edges)
    assert all(bool(torch.isfinite(draws).all()) for draws in found.draws.values())


def laplace_of_S(model: PreRec) -> None:
    assert set(model.posterior(NEW, "laplace", draws=5, latents=("S",)).draws) == {"S"}


def delta(model: PreRec) -> None:
    found = model.posterior(NEW, "delta")
    assert bool(torch.isfinite(found.log_likelihood).all())


def calibrated(model: PreRec) -> None:
    calibration = model.calibrate(model.encode(NEW), USERS)
    assert (calibration is None) == ("S" not in model.graph.edges), "nothing to calibrate is no error"
    found = CalibratedPreRec(model).recommend(NEW, k=3)
    assert np.allclose(found["score"], model.recommend(NEW, k=3)["score"]) == (calibration is None)


def adjusted(model: PreRec) -> None:
    found = BackdoorAdjustedPreRec(model, num_draws=4).recommend(NEW, k=3)
    assert found["user_id"].nunique() == NEW.num_users


def uncertain(model: PreRec) -> None:
    assert len(uncertain_lists(model, NEW, k=3)) > 0


def drifting(model: PreRec) -> None:
    assert 0 <= drift_report(model, NEW, (FIRST_DAY + 7) * 86_400, directions=1).p_value <= 1


def prior_predictive(model: PreRec) -> None:
    assert model.prior_predictive(NEW, draws=3, queries=50).summary()["mean"].between(0, 1).all()


def fine_tuned(model: PreRec) -> None:
    new = model.fine_tune(NEW, training=training(epochs=1))
    assert type(new.graph) is type(model.graph)
    assert set(new.sources.nodes) >= {"V_decentered"}
    assert len(new.recommend(NEW, k=3)) == 3 * NEW.num_users


def recommended(model: PreRec) -> None:
    for domain in (A, NEW):
        found = model.recommend(domain, k=5)
        assert found.groupby("user_id")["score"].apply(lambda scores: scores.is_monotonic_decreasing).all()
    assert model.embed(NEW).shape == (NEW.num_items, DIM)


D, Z, S = ({"D": 1.0}, {"Z": 2.0}, {"S": torch.tensor([0.5, -0.5, 1.0, 0.3, 0.4, -0.3])})
WORKS = None
# Operation → what it checks, and for each graph what is missing.
OPERATIONS: dict[str, tuple[Callable[[PreRec], None], dict[str, str | None]]] = {
    "recommend": (recommended, dict.fromkeys(GRAPHS, WORKS)),
    "do D": (changes_lists(D), {"unconfounded": r"do\(D\): the graph of this model has no node D; it has V, U"}),
    "do Z": (
        changes_lists({"Z": torch.linspace(-1, 1, A.num_items * DIM).view(A.num_items, DIM)}),
        {"unconfounded": r"do\(Z\): the graph of this model has no node Z; it has V, U"},
    ),
    "do S": (
        changes_lists(S),
        {
            "paper": r"do\(S\): the graph of this model has no node S; it has D, Z, V, U",
            "unconfounded": r"do\(S\): the graph of this model has no node S; it has V, U",
        },
    ),
    "do U": (changes_lists({"U": torch.ones(DIM)}), {}),
    "do V": (changes_lists({"V": torch.linspace(-1, 1, A.num_items * DIM).view(A.num_items, DIM)}), {}),
    "popularity dial": (dial, {"unconfounded": "the popularity dial: .*unconfounded, has no node Z"}),
    "effect report": (effect, {"unconfounded": "the effect report: .*unconfounded, has no node D"}),
    "posterior": (laplace, {"unconfounded": "has no D and no S"}),
    "posterior of S": (laplace_of_S, {"paper": "latents: S ", "unconfounded": "has no D and no S"}),
    "point": (delta, {}),
    "calibrate": (calibrated, {}),
    "adjust for the back door": (adjusted, {"unconfounded": "prior draws of D: of D and S .* has none"}),
    "uncertain lists": (uncertain, {"unconfounded": "unconfounded, has no node D"}),
    "drift": (drifting, {"paper": "paper, has no node S", "unconfounded": "unconfounded, has no node .*S"}),
    "prior predictive": (prior_predictive, {}),
    "fine-tune": (fine_tuned, {}),
}


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_graph_answers_or_says_which_node_it_lacks(models: dict[str, PreRec], operation: str, graph: str) -> None:
    check, missing = OPERATIONS[operation]
    if (message := missing.get(graph, WORKS)) is None:
        check(models[graph])
        return
    with pytest.raises(InputError, match=message):
        check(models[graph])


@pytest.mark.parametrize("graph", GRAPHS)
def test_each_model_is_read_back_and_answers_the_same(models: dict[str, PreRec], graph: str, tmp_path: Path) -> None:
    models[graph].save(tmp_path / "m")
    again = PreRec.load(tmp_path / "m", device="cpu")
    assert (again.graph_class, again.config, again.whitening) == (
        models[graph].graph_class,
        models[graph].config,
        models[graph].whitening,
    )
    for domain in (A, NEW):
        pd.testing.assert_frame_equal(again.recommend(domain), models[graph].recommend(domain), check_exact=True)
    for operation, (check, missing) in OPERATIONS.items():
        if graph not in missing and operation in ("do D", "do Z", "do S", "point"):
            check(again)


@pytest.mark.parametrize(
    ("graph", "nodes", "parameters"),
    [
        ("extended", {"D", "S", "V_decentered"}, {"W_d", "W_z", "f_pop.linear.weight", "likelihood.w_h"}),
        ("paper", {"D", "V_decentered"}, {"W_d", "W_z", "f_pop.linear.weight", "f_item.from_popularity.weight"}),
        ("unconfounded", {"V_decentered"}, set()),
    ],
)
def test_each_graph_has_its_nodes_and_no_other(
    models: dict[str, PreRec], graph: str, nodes: set[str], parameters: set[str]
) -> None:
    assert set(models[graph].sources.nodes) == nodes
    own = set(models[graph].graph.state_dict())
    assert parameters <= own
    others = {"W_d", "W_z", "f_pop.linear.weight", "likelihood.w_h", "f_item.from_popularity.weight"} - parameters
    assert not others & own

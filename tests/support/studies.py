"""A tiny study: two sources, one or two targets, and methods that train in a second."""

from __future__ import annotations

from pathlib import Path

from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.recommenders.registry import GRAPH_OF
from prerec_pyro.reproduction.plan import MethodSettings, Plan
from prerec_pyro.reproduction.study import Study
from prerec_pyro.training.baseline_configs import BaselineTraining
from prerec_pyro.training.loop_config import LoopRecipe
from tests.support.models import graph_config, small_domain
from tests.support.models import training as train_config

K_PERCENT = 20.0
_SHORT = {"epochs": 1, "num_negatives": 8, "batch_tokens": 40, "k_percent": K_PERCENT}


def tiny_settings(method: str, **training: object) -> MethodSettings:
    """Return settings of a method that train in a fraction of a second."""
    if method in LEARNED:
        kind = LEARNED[method].config
        shape = {name: value for name, value in {"latent_dim": 4, "num_layers": 1}.items() if name in kind.model_fields}
        short = BaselineTraining(**(_SHORT | training), recipe=LoopRecipe(min_steps=1))
        return MethodSettings(kind(**shape), short, short)
    graph = graph_config(GRAPH_OF[method], latent_dim=4, feedforward=1)
    short = train_config(**(_SHORT | training))
    return MethodSettings(graph, short, short)


def tiny_study(folder: Path, *, seeds: int = 2, targets: int = 1, **plan: object) -> Study:
    """A study of ``one`` and ``two``, measured on ``shop`` and, if there are two targets, on ``stall``."""
    methods = {
        name: tiny_settings(name)
        for name in ("prerec", "prerec_paper", "prerec_n", "zesrec", "unisrec", "sasrec", "gru4rec")
    }
    places = [
        small_domain(name, num_users=24, seed=place) for place, name in enumerate(("one", "two", "shop", "stall"))
    ]
    settings = {"seeds": seeds, "window": 3, "device": "cpu", "methods": methods} | plan
    return Study(folder, places[:2], places[2 : 2 + targets], [K_PERCENT], Plan(**settings))

"""The trained methods by name: their models, and the settings that a person chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prerec_pyro.errors import InputError
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.pretrained.shipped import model_folder
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training import checkpoint
from prerec_pyro.training.baseline_configs import ITEM_VECTORS, BaselineTraining
from prerec_pyro.training.recipes import TrainConfig

METHODS = ("prerec", "prerec_paper", "prerec_n", "zesrec", "unisrec", "sasrec", "gru4rec")
GRAPH_OF = {"prerec": "extended", "prerec_paper": "paper", "prerec_n": "unconfounded"}
_SHAPES = ("latent_dim", "num_layers", "num_heads", "dropout")

Model = PreRec | TextBaseline


def new_model(method: str, **options: Any) -> Model:
    """Return an untrained model.

    Parameters
    ----------
    method
        One of `METHODS`.
    options
        Arguments of `PreRec` or `TextBaseline`.

    Raises
    ------
    InputError
        If there is no such method, or an argument is not allowed.

    >>> new_model("prerec_paper", device="cpu").graph_class.__name__
    'PaperGraph'
    """
    if method not in METHODS:
        raise InputError(f"method {method!r} is none of {', '.join(METHODS)}")
    if method in LEARNED:
        return TextBaseline(method, **options)
    return PreRec(options.pop("graph", None) or GRAPH_OF[method], **options)


def load_model(folder: str | Path, device: str = "auto") -> Model:
    """Return a saved model of any method: that of a folder, or a shipped one by its name.

    Parameters
    ----------
    folder
        The model folder, or the name of a model that ships with the package; see `find_model`.
    device
        Device of the model.

    Raises
    ------
    InputError
        If there is no such model, the folder is not a saved model, or its method is not one of `METHODS`.

    >>> import tempfile
    >>> from prerec_pyro import ExtendedConfig, PreRec, TrainConfig, load_model, simulate
    >>> (store,) = simulate(1, num_items=30, num_users=40)
    >>> model = PreRec(ExtendedConfig(latent_dim=8), training=TrainConfig(epochs=0), device="cpu")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.fit([store.domain.with_embeddings(store.truth.V)]).save(folder)
    ...     load_model(folder).name
    'prerec'
    """
    folder = model_folder(folder)
    method = checkpoint.read_method(folder)
    of_own_graph = (method or "").startswith("prerec_")  # `PreRec.load` says how such a model is read
    if method not in METHODS and not of_own_graph:
        raise InputError(f"{folder}: holds a model of method {method!r}; this version has {', '.join(METHODS)}")
    kind = TextBaseline if method in LEARNED else PreRec
    return kind.load(folder, device)


def offered_settings(method: str, *, tuned: bool = False) -> tuple[str, ...]:
    """Return the names of the settings that a person chooses, those of ``--set``.

    The other fields of a configuration are constants of a recipe or of a graph.

    Parameters
    ----------
    method
        One of `METHODS`.
    tuned
        Whether the method is fine-tuned: the shape of its networks is then that of the saved model.

    >>> offered_settings("prerec")[:6]
    ('latent_dim', 'num_layers', 'num_heads', 'dropout', 'epochs', 'patience')
    """
    if method not in LEARNED:
        return (*(() if tuned else _SHAPES), *_without_recipe(TrainConfig))
    shapes = LEARNED[method].tunable if tuned else LEARNED[method].config.model_fields
    training = (name for name in _without_recipe(BaselineTraining) if name != "item_rate" or method in ITEM_VECTORS)
    return (*shapes, *training)


def _without_recipe(kind: type[TrainConfig] | type[BaselineTraining]) -> list[str]:
    return [name for name in kind.model_fields if name != "recipe"]

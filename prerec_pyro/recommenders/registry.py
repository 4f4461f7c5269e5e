"""Every method that is trained, by the name that the command line gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prerec_pyro.errors import InputError
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training import checkpoint

METHODS = ("prerec", "prerec_paper", "prerec_n", "zesrec", "unisrec", "sasrec", "gru4rec")
GRAPH_OF = {"prerec": "extended", "prerec_paper": "paper", "prerec_n": "unconfounded"}

Model = PreRec | TextBaseline


def new_model(method: str, **options: Any) -> Model:
    """Return an untrained model.

    Parameters
    ----------
    method
        One of `METHODS`.
    options
        Of `PreRec` or `TextBaseline`.

    Raises
    ------
    InputError
        If there is no such method, or an option means nothing.
    """
    if method not in METHODS:
        raise InputError(f"method {method!r} is none of {', '.join(METHODS)}")
    if method in LEARNED:
        return TextBaseline(method, **options)
    return PreRec(options.pop("graph", None) or GRAPH_OF[method], **options)


def load_model(folder: str | Path, device: str = "auto") -> Model:
    """Return the saved model of a folder, of whatever method.

    Raises
    ------
    InputError
        If the folder is no saved model, or one of a method that this version does not have.
    """
    method = checkpoint.read_method(Path(folder))
    of_own_graph = (method or "").startswith("prerec_")  # `PreRec.load` says how such a model is read
    if method not in METHODS and not of_own_graph:
        raise InputError(f"{folder}: holds a model of method {method!r}; this version has {', '.join(METHODS)}")
    kind = TextBaseline if method in LEARNED else PreRec
    return kind.load(folder, device)

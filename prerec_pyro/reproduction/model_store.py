"""The models of a study: pre-trained ones are kept and reused, an unfinished training goes on where it was."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.recommenders.base import BaseRecommender
from prerec_pyro.recommenders.registry import Model, load_model, new_model
from prerec_pyro.reproduction.cells import short_hash
from prerec_pyro.reproduction.plan import MethodSettings
from prerec_pyro.training.loop_config import LoopConfig

logger = logging.getLogger(__name__)


def untrained(
    method: str, settings: MethodSettings, training: LoopConfig, seed: int, wish: BaseRecommender, **more: Any
) -> Model:
    """Return a model to train on domains that `wish` has encoded; `more` are options of `new_model`."""
    model = new_model(
        method,
        **settings.options(method),
        training=training.model_copy(update={"seed": seed}),
        window=wish.window,
        device=str(wish.device),
        **more,
    )
    model.encoder_name, model.encoder_revision = wish.encoder_name, wish.encoder_revision
    return model


class ModelStore:
    """A folder of models.

    Parameters
    ----------
    folder
        Where.
    wish
        What encoded the domains: its encoder, window and device are those of the models.
    """

    def __init__(self, folder: Path, wish: BaseRecommender) -> None:
        self.folder = folder
        self.wish = wish
        self._loaded: tuple[Path, Model] | None = None  # the last one: rows come seed by seed

    def pretrained(
        self,
        method: str,
        settings: MethodSettings,
        sources: Sequence[EncodedDomain],
        asked: Mapping[str, Any],
        seed: int,
        split_seed: int,
    ) -> Model:
        """Return a model trained on the sources, read from the folder if it is there.

        `asked` is all that decides about it, plain JSON. Raises what `fit` and `load_model` raise.
        """
        path = self.folder / f"{method}-seed{seed}-{short_hash(asked)}"
        if self._loaded is None or self._loaded[0] != path:
            if path.is_dir():
                model = load_model(path, str(self.wish.device))
            else:
                logger.info("pre-training %s, seed %d", method, seed)
                model = untrained(method, settings, settings.sources, seed, self.wish)
                self._train(model.fit, asked, sources, split_seed=split_seed)
                model.save(path)
            self._loaded = path, model
        return self._loaded[1]

    def fine_tuned(
        self,
        model: Model,
        settings: MethodSettings,
        target: EncodedDomain,
        asked: Mapping[str, Any],
        seed: int,
        split_seed: int,
        samples: int | None,
    ) -> Model:
        """Return a new model, trained further on the target; only the state of an unfinished training is kept."""
        training = settings.target.model_copy(update={"seed": seed})
        options = {"training": training, "split_seed": split_seed, "num_samples": samples}
        return self._train(model.fine_tune, {**asked, "samples": samples}, target, **options)

    def from_scratch(
        self,
        method: str,
        settings: MethodSettings,
        target: EncodedDomain,
        asked: Mapping[str, Any],
        seed: int,
        split_seed: int,
        samples: int | None,
    ) -> Model:
        """Return a model trained on the target alone; only the state of an unfinished training is kept."""
        model = untrained(method, settings, settings.target, seed, self.wish)
        options = {"split_seed": split_seed, "num_samples": samples}
        return self._train(model.fit, {**asked, "samples": samples}, [target], **options)

    def _train(self, train: Callable[..., Model], asked: Mapping[str, Any], data: Any, **options: Any) -> Model:
        state = self.folder / f".{short_hash(asked)}.training"
        resume = (state / "progress.json").is_file()
        if resume:
            logger.info("going on with an unfinished training")
        model = train(data, progress_folder=state, resume=resume, **options)
        shutil.rmtree(state, ignore_errors=True)
        return model

"""Models of a study: pre-trained models are kept and reused, and an unfinished training resumes."""

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
    method: str, settings: MethodSettings, training: LoopConfig, seed: int, template: BaseRecommender, **more: Any
) -> Model:
    """Return an untrained model with the encoder, window and device of another recommender.

    Parameters
    ----------
    method, settings
        Method and its settings.
    training
        Training configuration.
    seed
        Training seed.
    template
        Recommender that has encoded the domains.
    more
        More options of `new_model`.
    """
    model = new_model(
        method,
        **settings.options(method),
        training=training.model_copy(update={"seed": seed}),
        window=template.window,
        device=str(template.device),
        **more,
    )
    model.encoder_name, model.encoder_revision = template.encoder_name, template.encoder_revision
    return model


class ModelStore:
    """A folder of models.

    Parameters
    ----------
    folder
        Folder of the models.
    template
        Recommender that has encoded the domains; the models take its encoder, window and device.
    """

    def __init__(self, folder: Path, template: BaseRecommender) -> None:
        self.folder = folder
        self.template = template
        self._loaded: tuple[Path, Model] | None = None  # the last one only: rows come seed by seed

    def pretrained(
        self,
        method: str,
        settings: MethodSettings,
        sources: Sequence[EncodedDomain],
        key: Mapping[str, Any],
        seed: int,
        split_seed: int,
    ) -> Model:
        """Return a model trained on the sources, or the saved one if the folder holds it.

        Parameters
        ----------
        method, settings
            Method and its settings.
        sources
            Encoded source domains.
        key
            Everything that determines the model, plain JSON.
        seed
            Training seed.
        split_seed
            Seed of the split of users.

        Raises
        ------
        InputError
            As `fit` and `load_model` do.
        """
        path = self.folder / f"{method}-seed{seed}-{short_hash(key)}"
        if self._loaded is None or self._loaded[0] != path:
            if path.is_dir():
                model = load_model(path, str(self.template.device))
            else:
                logger.info("pre-training %s, seed %d", method, seed)
                model = untrained(method, settings, settings.sources, seed, self.template)
                self._train(model.fit, key, sources, split_seed=split_seed)
                model.save(path)
            self._loaded = path, model
        return self._loaded[1]

    def fine_tuned(
        self,
        model: Model,
        settings: MethodSettings,
        target: EncodedDomain,
        key: Mapping[str, Any],
        seed: int,
        split_seed: int,
        samples: int | None,
    ) -> Model:
        """Return a new model, fine-tuned on `samples` queries of the target (None: all); it is not saved.

        Only the state of an unfinished training is kept. The other parameters are as in `pretrained`.
        """
        training = settings.target.model_copy(update={"seed": seed})
        options = {"training": training, "split_seed": split_seed, "num_samples": samples}
        return self._train(model.fine_tune, {**key, "samples": samples}, target, **options)

    def from_scratch(
        self,
        method: str,
        settings: MethodSettings,
        target: EncodedDomain,
        key: Mapping[str, Any],
        seed: int,
        split_seed: int,
        samples: int | None,
    ) -> Model:
        """Return a model trained on `samples` queries of the target alone (None: all); it is not saved.

        Only the state of an unfinished training is kept. The other parameters are as in `pretrained`.
        """
        model = untrained(method, settings, settings.target, seed, self.template)
        options = {"split_seed": split_seed, "num_samples": samples}
        return self._train(model.fit, {**key, "samples": samples}, [target], **options)

    def _train(self, train: Callable[..., Model], key: Mapping[str, Any], data: Any, **options: Any) -> Model:
        """Return the trained model, resumed from the state of an unfinished training with the same key."""
        state = self.folder / f".{short_hash(key)}.training"
        resume = (state / "progress.json").is_file()
        if resume:
            logger.info("resuming an unfinished training")
        model = train(data, progress_folder=state, resume=resume, **options)
        shutil.rmtree(state, ignore_errors=True)
        return model

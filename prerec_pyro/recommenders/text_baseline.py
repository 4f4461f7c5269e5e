"""`TextBaseline`: GRU4Rec, SASRec, ZESRec and UniSRec with the same methods as `PreRec`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, check_texts
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import validation_score
from prerec_pyro.inference.interventions.scorer import Semantics, Value
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.baselines.base import BaselineConfig, BaselineModel
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.models.baselines.sasrec import SASRecConfig
from prerec_pyro.models.baselines.unisrec import UniSRecConfig
from prerec_pyro.models.baselines.zesrec import ZESRecConfig
from prerec_pyro.recommenders.base import BaseRecommender
from prerec_pyro.recommenders.baseline_scorer import TextScorer
from prerec_pyro.recommenders.format4 import upgraded_training
from prerec_pyro.recommenders.pretrained.model_card import model_card
from prerec_pyro.training import checkpoint
from prerec_pyro.training.baseline_configs import BaselineTraining, adam, defaults
from prerec_pyro.training.run import TrainingRun, ValidationUsers
from prerec_pyro.training.trainer import Trainer


class TextBaseline(BaseRecommender):
    """A trained baseline.

    Parameters
    ----------
    method
        ``"gru4rec"``, ``"sasrec"``, ``"zesrec"`` or ``"unisrec"``.
    config
        Settings of the method. None gives those of its paper; settings that the paper leaves open are tuned.
    training
        Training settings; None gives those tuned for the method.
    encoder
        Text encoder, by name or folder; None is the packaged one.
    window
        Days of the popularity index, which no trained baseline reads.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA if there is one.

    Attributes
    ----------
    name
        The method.
    module
        The trained module; None before `fit`.
    tuned
        Whether the model was fine-tuned.
    sources
        The trained domains and their items.
    history
        One row of metrics for each epoch.
    facts
        Facts about the training run, for the manifest of a saved model.

    Raises
    ------
    InputError
        If the method is unknown, the settings belong to another method, or ``latent_dim`` is not a multiple of
        ``num_heads``.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro import TextBaseline, simulate
    >>> from prerec_pyro.models.baselines.sasrec import SASRecConfig
    >>> store = simulate(num_domains=2, num_items=20, num_users=20)[0].domain
    >>> store = store.with_embeddings(np.eye(20))  # in place of a text encoder
    >>> model = TextBaseline("sasrec", SASRecConfig(latent_dim=8), training=BaselineTraining(epochs=1), device="cpu")
    >>> model.fit([store]).recommend(store, k=3).columns.tolist()
    ['user_id', 'item_id', 'score', 'rank']
    """

    def __init__(
        self,
        method: str,
        config: BaselineConfig | None = None,
        *,
        training: BaselineTraining | None = None,
        encoder: str | None = None,
        window: int = 15,
        device: str = "auto",
    ) -> None:
        super().__init__(encoder=encoder, window=window, normalizer="catalogue", device=device)
        if method not in LEARNED:
            raise InputError(f"method {method!r} is none of {', '.join(LEARNED)}")
        self.name = method
        self.config: BaselineConfig = config or LEARNED[method].config()
        if not isinstance(self.config, LEARNED[method].config):
            raise InputError(f"{method} takes a {LEARNED[method].config.__name__}, not {type(config).__name__}")
        heads = self.config.num_heads if isinstance(self.config, SASRecConfig | UniSRecConfig) else 1
        if self.config.latent_dim % heads:
            raise InputError(f"latent_dim {self.config.latent_dim} is no multiple of num_heads {heads}")
        self.training = training or defaults(method)
        self.module: BaselineModel | None = None
        self.tuned = False
        self.sources = TrainedDomains()
        self.history: list[dict[str, float]] = []
        self.facts: dict[str, Any] = {}

    def fit(
        self,
        domains: Sequence[Domain | EncodedDomain],
        *,
        split_seed: int = 0,
        num_samples: int | None = None,
        progress_folder: Path | None = None,
        resume: bool = False,
    ) -> TextBaseline:
        """Train from scratch on the training users of the domains; return self.

        Training stops early on the mean r-NDCG@K% of the validation users (appendix C.3) and keeps the best epoch.

        Parameters
        ----------
        domains
            Source domains; their names must differ. GRU4Rec and SASRec are meant for one domain, the target.
        split_seed
            Seed of the 4:3:3 split of users.
        num_samples
            Number of queries of each domain to train on; see `first_samples`. None takes all.
        progress_folder
            Folder for the state after each epoch; None saves no state.
        resume
            Continue from the state in `progress_folder`.

        Raises
        ------
        InputError
            If there is no domain, two share a name, text embeddings differ in length, or one has no training query.
        """
        encoded = self.encoded_once(domains)
        self.sources, self.tuned = TrainedDomains.of(encoded), False
        torch.manual_seed(self.training.seed)
        self.module = self._build(encoded[0].texts.shape[1])
        self.module.start_from([domain.texts for domain in encoded])
        return self._train(TrainingRun(encoded, split_seed, num_samples, progress_folder, resume, self.training.seed))

    def fine_tune(
        self,
        domain: Domain | EncodedDomain,
        *,
        split_seed: int = 0,
        num_samples: int | None = None,
        training: BaselineTraining | None = None,
        config: Mapping[str, Any] | None = None,
        progress_folder: Path | None = None,
        resume: bool = False,
    ) -> TextBaseline:
        """Return a new model, trained further on the training users of one domain; this model does not change.

        Training stops early on the domain's validation users. The model before fine-tuning counts as epoch 0.

        Parameters
        ----------
        domain
            The target domain.
        split_seed, num_samples, progress_folder, resume
            As in `fit`.
        training
            Training settings; None gives those tuned for fine-tuning the method, with the seed of this model.
        config
            Settings to change, such as ``{"tuning": "transductive"}``. The shape of the networks cannot change.

        Raises
        ------
        InputError
            If this model is not trained, a setting cannot change, or the domain has no training query.
        """
        old, (encoded,) = self._fitted(), self.encoded_once([domain])
        check_texts(encoded, old.text_dim)
        new = TextBaseline(
            self.name,
            self.changed_config(config or {}),
            training=training or defaults(self.name, tuned=True).model_copy(update={"seed": self.training.seed}),
            encoder=self.encoder_name,
            window=self.window,
            device=str(self.device),
        )
        new.encoder_revision = self.encoder_revision
        new.sources, new.tuned = TrainedDomains.of([encoded]), True
        torch.manual_seed(new.training.seed)
        new.module = new._build(encoded.texts.shape[1])
        new._start_from(old, self.sources.item_rows(encoded.domain))
        new._train(TrainingRun([encoded], split_seed, num_samples, progress_folder, resume, new.training.seed))
        new.facts["fine_tuned_from"] = {name: self.facts[name] for name in ("domains", "seed") if name in self.facts}
        return new

    def scorer(
        self,
        encoded: EncodedDomain,
        do: Mapping[str, Value] | None = None,
        semantics: Semantics = "interventional",
    ) -> TextScorer:
        """Return a function from batches of a domain to U·V.

        The model recognises items that it has a vector for by the domain's name and the item's id. Any other item is
        its text.

        Parameters
        ----------
        encoded
            The domain.
        do
            Must be empty: a baseline has no nodes.
        semantics
            Ignored.

        Raises
        ------
        InputError
            If there is an intervention, the model is not trained, or the text embeddings have another length.
        """
        module = self._fitted()
        self.refuse(do)
        check_texts(encoded, module.text_dim)
        module.eval()
        return TextScorer(module, encoded, self.sources.item_rows(encoded.domain), self.device)

    def refuse(self, do: Mapping[str, Value] | None) -> None:
        """Raise `InputError` if there is an intervention: a baseline has no nodes to set."""
        if do:
            raise InputError(f"do({', '.join(do)}): {self.name} is no causal graph, it has no such node; leave it out")

    def save(self, folder: str | Path) -> None:
        """Write the model with its model card; see `checkpoint.save_model`."""
        module = self._fitted()
        weights = {f"module.{name}": value for name, value in module.state_dict().items()}
        weights |= self.sources.to_tensors()
        manifest = {"method": self.name, "history": self.history, **self.facts}
        config = self._settings()
        card = model_card(Path(folder).name, config, manifest)
        checkpoint.save_model(Path(folder), weights, config, manifest, card)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> TextBaseline:
        """Return a saved model.

        Raises
        ------
        InputError
            If a file of the folder is missing, damaged or of another format.
        """
        weights, config, manifest = checkpoint.load_model(Path(folder))
        try:
            method, training = manifest["method"], config["training"]
            if manifest["format_version"] == 4:
                training = upgraded_training(training, BaselineTraining)
            model = cls(
                method,
                LEARNED[method].config(**config["baseline"]),
                training=BaselineTraining(**training),
                encoder=config["encoder"]["name"],
                device=device,
                **config["popularity"],
            )
            model.encoder_revision = config["encoder"]["revision"]
            model.tuned = config["tuned"]
            model.sources = TrainedDomains.from_tensors(config["domains"], weights, model.device)
            module = model._build(config["text_dim"])
            own = {k.removeprefix("module."): v for k, v in weights.items() if k.startswith("module.")}
            module.load_state_dict(own)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{folder}: this is not a baseline that this version can read ({error})") from error
        model.module = module.eval()
        model.history = manifest.pop("history", [])
        model.facts = {k: v for k, v in manifest.items() if k not in ("format_version", "files", "method")}
        return model

    def _build(self, text_dim: int) -> BaselineModel:
        num_rows = int(self.sources.first_rows[-1])
        return LEARNED[self.name].build(self.config, text_dim, num_rows, self.tuned).to(self.device)

    def _start_from(self, old: BaselineModel, rows: torch.Tensor) -> None:
        """Copy the networks of `old`, and the vectors of the items that it has at `rows`, -1 for none."""
        module, state = self._fitted(), old.state_dict()
        table = state.pop("table.weight", None)
        module.load_state_dict(state, strict=False)
        if table is not None and module.table is not None:
            known = (rows >= 0).to(table.device)
            with torch.no_grad():
                module.table.weight[known] = table[rows.to(table.device)[known]]

    def _train(self, run: TrainingRun) -> TextBaseline:
        module, sources = self._fitted(), run.sources(self.sources.first_rows)
        item_scale = self.config.offset_scale if isinstance(self.config, ZESRecConfig) else 1.0
        optimizers = adam(module, self.training, item_scale=item_scale)
        trainer = Trainer(module, optimizers, sources, self.training, self.device, joint_sources=module.joint_sources)
        num_queries = run.num_validation_queries(self.training.recipe.validation_queries)

        def score(parts: ValidationUsers) -> float:
            return validation_score(self, parts, self.training.k_percent, num_queries)

        progress, self.facts = run.fit(trainer, self._settings, score)
        self.history = progress.history
        return self

    def changed_config(self, changes: Mapping[str, Any]) -> BaselineConfig:
        """Return the settings with some changed, for fine-tuning.

        Raises
        ------
        InputError
            If a setting belongs to the shape of the networks, or there is no such setting.
        """
        tunable = LEARNED[self.name].tunable
        if refused := [name for name in changes if name not in tunable]:
            raise InputError(
                f"{', '.join(refused)}: cannot change in fine-tuning {self.name}; only {', '.join(tunable)} can"
            )
        return type(self.config)(**(self.config.model_dump() | dict(changes)))

    def _settings(self) -> dict[str, Any]:
        """Return everything that the model is built from, as plain JSON."""
        return {
            "baseline": self.config.model_dump(),
            "training": self.training.model_dump(),
            "tuned": self.tuned,
            "text_dim": self._fitted().text_dim,
            "encoder": {"name": self.encoder_name, "revision": self.encoder_revision},
            "popularity": {"window": self.window},
            "domains": list(self.sources.item_ids),
        }

    def _fitted(self) -> BaselineModel:
        if self.module is None:
            raise InputError("this model is not trained; call fit(domains) or TextBaseline.load(folder) first")
        return self.module

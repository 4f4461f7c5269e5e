"""`PreRec`: the one façade over data, graph, inference and ranking."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.data.histories import Histories, known_users, strangers
from prerec_pyro.data.popularity import Normalizer
from prerec_pyro.data.splits import split_users
from prerec_pyro.data.text import load_encoder
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import validation_score
from prerec_pyro.inference import checkpoint
from prerec_pyro.inference.calibration import calibrate
from prerec_pyro.inference.device import choose_device
from prerec_pyro.inference.elbo import map_trainer
from prerec_pyro.inference.guides import FREE_BY_DEFAULT, NonCentred, check_free, map_guide, trained_nodes
from prerec_pyro.inference.interventions import Intervention, InterventionalScorer, Semantics, Value
from prerec_pyro.inference.ranking import recommendations, score_histories
from prerec_pyro.inference.sources import TrainedSources
from prerec_pyro.inference.strengths import learn_prior
from prerec_pyro.inference.svi import Source, TrainConfig, Trainer
from prerec_pyro.models.graph import GraphConfig, PreRecGraph
from prerec_pyro.models.priors import Priors

logger = logging.getLogger(__name__)

Seen = Literal["drop", "keep"]


@dataclass(frozen=True, eq=False)
class CalibratedPreRec:
    """Calibrated zero-shot as a `Recommender`: how far to trust text, popularity and repeats is read off a log.

    Attributes
    ----------
    model
        A trained model.
    users
        ``(n,)`` users of the domain whose log may be read; in an evaluation none of those that are measured.
    """

    model: PreRec
    users: np.ndarray

    @property
    def name(self) -> str:
        """That of the model, and ``"_calibrated"``."""
        return f"{self.model.name}_calibrated"

    def scorer(self, encoded: EncodedDomain) -> InterventionalScorer:
        """Return the model's scorer, calibrated."""
        return self.model.scorer(encoded, calibration_users=self.users)


class PreRec:
    """The pre-trained causal recommender.

    Parameters
    ----------
    graph
        Shapes and switches of Fig. 1; ``GraphConfig(confounders=False)`` is PreRec_n.
    training
        How to train.
    priors
        Of D, Z, V, U; see `Priors`.
    free
        Nodes with a MAP of their own, of D and V; the others stand at the mean that their network predicts.
    encoder
        Text encoder, by name or folder; None is the packaged one.
    window, normalizer
        Of the popularity factors.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one.

    Raises
    ------
    InputError
        If an argument means nothing.
    """

    def __init__(
        self,
        graph: GraphConfig | None = None,
        *,
        training: TrainConfig | None = None,
        priors: Priors | None = None,
        free: Iterable[str] = FREE_BY_DEFAULT,
        encoder: str | None = None,
        window: int = 15,
        normalizer: Normalizer = "catalogue",
        device: str = "auto",
    ) -> None:
        self.config = graph or GraphConfig()
        if self.config.latent_dim % self.config.num_heads:
            raise InputError(f"latent_dim {self.config.latent_dim} is no multiple of num_heads {self.config.num_heads}")
        self.training = training or TrainConfig()
        self.priors = priors or Priors()
        self.free = check_free(free)
        self.encoder_name = encoder
        self.encoder_revision: str | None = None
        self.window = window
        self.normalizer = normalizer
        self.device = choose_device(device)
        self.graph: PreRecGraph | None = None
        self.sources = TrainedSources()
        self.history: list[dict[str, float]] = []
        self.facts: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """``"prerec"``, or ``"prerec_n"`` without confounders."""
        return "prerec" if self.config.confounders else "prerec_n"

    def encode(self, domain: Domain, cache: str | None = None) -> EncodedDomain:
        """Return the domain with its text embeddings and popularity index, as this model wants them."""
        encoder = None if domain.embeddings is not None else load_encoder(self.encoder_name, str(self.device))
        if encoder is not None:
            if self.encoder_revision not in (None, encoder.revision):
                raise InputError(
                    f"this model was trained with text encoder revision {self.encoder_revision}, but "
                    f"{encoder.name!r} here is {encoder.revision}; give it the encoder that it was trained with"
                )
            self.encoder_name, self.encoder_revision = encoder.name, encoder.revision
        return encode_domain(domain, encoder, window=self.window, normalizer=self.normalizer, cache=cache)

    def fit(
        self,
        domains: Sequence[Domain | EncodedDomain],
        *,
        split_seed: int = 0,
        progress_folder: Path | None = None,
        resume: bool = False,
    ) -> PreRec:
        """Pre-train on the training users of some domains; return self.

        Stops on the mean r-NDCG@K% over their validation users (appendix C.3), and keeps the best epoch.

        Parameters
        ----------
        domains
            Source domains; their names must differ.
        split_seed
            Of the 4:3:3 split of users.
        progress_folder
            Where to keep the state after each epoch; None keeps none.
        resume
            Go on from the state in `progress_folder`.

        Raises
        ------
        InputError
            If there is no domain, two share a name, text embeddings differ in length, or none has training queries.
        """
        encoded = [d if isinstance(d, EncodedDomain) else self.encode(d) for d in domains]
        self.sources = TrainedSources.of(encoded)
        torch.manual_seed(self.training.seed)
        self.graph = PreRecGraph(
            self.config, num_domains=len(encoded), text_dim=encoded[0].texts.shape[1], priors=self.priors
        )
        self.graph.f_e.start_from([e.texts for e in encoded])
        self.graph.to(self.device)
        splits = [split_users(e.domain, split_seed) for e in encoded]
        first = self.sources.first_rows
        sources = [
            Source(e, split.train, k, int(first[k])) for k, (e, split) in enumerate(zip(encoded, splits, strict=True))
        ]
        program = NonCentred(self.graph, self.free)
        guide = map_guide(program, int(first[-1]), self.free)
        trainer = map_trainer(program, guide, sources, self.training, self.device)
        if progress_folder is not None:
            run = self._settings() | {"split_seed": split_seed, "data": [e.domain.fingerprint for e in encoded]}
            if resume:
                trainer.restore(*checkpoint.load_progress(progress_folder, run))

        def validate() -> float:
            self.sources.nodes = trained_nodes(guide)
            parts = [(e, split.validation) for e, split in zip(encoded, splits, strict=True)]
            return validation_score(self, parts, self.training.k_percent, self.training.validation_queries)

        def keep(trainer: Trainer) -> None:
            if progress_folder is not None:
                checkpoint.save_progress(progress_folder, run, *trainer.state())

        progress = trainer.fit(validate, keep)
        self.sources.nodes = {name: value.clone() for name, value in trained_nodes(guide).items()}
        if "S" in self.sources.nodes:
            self.sources.nodes["S"] = learn_prior(self.graph, self.sources.nodes["S"])
        self.history = progress.history
        best = {"best_epoch": progress.best_epoch, "validation_r_ndcg": progress.best_score}
        self.facts = best | checkpoint.provenance(encoded, split_seed=split_seed, seed=self.training.seed)
        return self

    def scorer(
        self,
        encoded: EncodedDomain,
        do: Mapping[str, Value] | None = None,
        semantics: Semantics = "interventional",
        calibration_users: np.ndarray | None = None,
    ) -> InterventionalScorer:
        """Return P(R | do(…)) on a domain as a function of batches.

        A domain that the model was trained on is recognised by its name and items, and gets the MAP of its own D, S
        and item offsets (eq. 6); any other is served zero-shot (eq. 5).

        Parameters
        ----------
        encoded
            The domain.
        do, semantics
            See `Intervention`.
        calibration_users
            ``(n,)`` users of a new domain from whose log before a query's day its S is re-estimated: calibrated
            zero-shot. None leaves S at its prior mean.
        """
        graph = self._fitted()
        if encoded.texts.shape[1] != graph.f_e.linear.in_features:
            raise InputError(
                f"domain {encoded.name!r}: text embeddings have {encoded.texts.shape[1]} numbers, this model was "
                f"trained on {graph.f_e.linear.in_features}; use the encoder that it was trained with"
            )
        intervention = Intervention.check(do, latent_dim=self.config.latent_dim, semantics=semantics)
        row = self.sources.row(encoded.domain)
        trained = None if row is None else self.sources.nodes_of(encoded.domain, row)
        graph.eval()
        calibration = None
        if calibration_users is not None and trained is None and graph.has_strengths:
            plain = InterventionalScorer(graph, encoded, Intervention({}))
            calibration = calibrate(plain, encoded, calibration_users, seed=self.training.seed)
        return InterventionalScorer(
            graph, encoded, intervention, trained=trained, domain=row or 0, calibration=calibration
        )

    def calibrated(self, users: np.ndarray) -> CalibratedPreRec:
        """Return a `Recommender` that serves new domains calibrated on the log of `users`; see `scorer`."""
        return CalibratedPreRec(self, users)

    def recommend(
        self,
        domain: Domain | EncodedDomain,
        users: Sequence[str] | None = None,
        *,
        histories: Any = None,
        k: int = 20,
        do: Mapping[str, Value] | None = None,
        semantics: Semantics = "interventional",
        at: str | int | None = None,
        seen: Seen = "drop",
    ) -> pd.DataFrame:
        """Return ``user_id, item_id, score, rank``: the k best items for each user, rank from 1.

        Parameters
        ----------
        domain
            Where to recommend; its log gives the popularity and the users' histories.
        users
            Ids of users of the domain; None is all of them.
        histories
            Instead of `users`: a frame ``user_id, item_id`` (and ``timestamp`` or ``order``) of people that the
            domain has never seen.
        k
            Length of a list; lists are shorter where there are fewer items left.
        do, semantics
            Intervention; see `Intervention`.
        at
            The moment to recommend at (ISO time or seconds): only events before it count. None is the day after the
            log ends.
        seen
            Whether items of a user's history are dropped or kept.

        Raises
        ------
        InputError
            If a user, item, node, value or time is unknown or means nothing.
        """
        if seen not in ("drop", "keep"):
            raise InputError(f"seen {seen!r}: expected 'drop' or 'keep'")
        if k < 1:
            raise InputError(f"k is {k}, expected 1 or more")
        encoded = domain if isinstance(domain, EncodedDomain) else self.encode(domain)
        read = self._histories(encoded, users, histories, at)
        scorer = self.scorer(encoded, do, semantics)
        return recommendations(scorer, encoded, read, k, drop_seen=seen == "drop")

    def score(
        self,
        domain: Domain | EncodedDomain,
        pairs: pd.DataFrame,
        *,
        do: Mapping[str, Value] | None = None,
        at: str | int | None = None,
    ) -> pd.Series:
        """Return log P(R | do(…)) of each (user_id, item_id) of `pairs`, by its index: log-softmax over the domain."""
        encoded = domain if isinstance(domain, EncodedDomain) else self.encode(domain)
        user_ids, row = np.unique(pairs["user_id"].astype(str).to_numpy(dtype=object), return_inverse=True)
        items = torch.from_numpy(encoded.domain.item_position(pairs["item_id"]))
        read = self._histories(encoded, user_ids, None, at)
        position = {user: number for number, user in enumerate(read.user_ids)}
        missing = [user for user in user_ids if user not in position]
        if missing:
            raise InputError(
                f"users {missing[:3]} ({len(missing)}) have no event before {at}; nothing to score them by"
            )
        result = np.full(len(pairs), np.nan)
        order = np.array([position[user] for user in user_ids])[row]
        for rows, scores in score_histories(self.scorer(encoded, do), encoded, read):
            here = np.flatnonzero((order >= rows.start) & (order < rows.stop))
            log_p = scores.log_softmax(dim=1)
            result[here] = log_p[torch.from_numpy(order[here] - rows.start), items[here]].numpy()
        return pd.Series(result, index=pairs.index, name="log_probability")

    def embed(self, domain: Domain | EncodedDomain, do: Mapping[str, Value] | None = None) -> np.ndarray:
        """Return V, ``(num_items, latent_dim)`` float32, at the end of the domain's log."""
        encoded = domain if isinstance(domain, EncodedDomain) else self.encode(domain)
        return self.scorer(encoded, do).item_vectors_at_end().cpu().numpy()

    def save(self, folder: str | Path) -> None:
        """Write ``weights.safetensors``, ``config.json`` and ``manifest.json``; see `checkpoint.save_model`."""
        graph = self._fitted()
        weights = {f"graph.{name}": value for name, value in graph.state_dict().items()}
        weights |= self.sources.to_tensors()
        manifest = {"method": self.name, "history": self.history, **self.facts}
        checkpoint.save_model(Path(folder), weights, self._settings(), manifest)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> PreRec:
        """Return a saved model.

        Raises
        ------
        InputError
            If a file of the folder is missing, damaged or of another format.
        """
        weights, config, manifest = checkpoint.load_model(Path(folder))
        try:
            model = cls(
                GraphConfig(**config["graph"]),
                training=TrainConfig(**config["training"]),
                priors=Priors.from_config(config["priors"]),
                free=config["free"],
                encoder=config["encoder"]["name"],
                device=device,
                **config["popularity"],
            )
            model.encoder_revision = config["encoder"]["revision"]
            model.sources = TrainedSources.from_tensors(config["domains"], weights, model.device)
            model.graph = PreRecGraph(
                model.config, num_domains=len(config["domains"]), text_dim=config["text_dim"], priors=model.priors
            )
            own = {k.removeprefix("graph."): v for k, v in weights.items() if k.startswith("graph.")}
            model.graph.load_state_dict(own)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{folder}: is not a PreRec model that this version reads ({error})") from error
        model.graph.to(model.device).eval()
        model.history = manifest.pop("history", [])
        model.facts = {k: v for k, v in manifest.items() if k not in ("format_version", "files", "method")}
        return model

    def _settings(self) -> dict[str, Any]:
        """Return all that the model is built from, plain JSON."""
        return {
            "graph": self.config.model_dump(),
            "training": self.training.model_dump(),
            "priors": self.priors.to_config(),
            "free": sorted(self.free),
            "text_dim": self._fitted().f_e.linear.in_features,
            "encoder": {"name": self.encoder_name, "revision": self.encoder_revision},
            "popularity": {"window": self.window, "normalizer": self.normalizer},
            "domains": list(self.sources.item_ids),
        }

    def _fitted(self) -> PreRecGraph:
        if self.graph is None:
            raise InputError("this model is not trained; call fit(domains) or PreRec.load(folder) first")
        return self.graph

    def _histories(
        self, encoded: EncodedDomain, users: Sequence[str] | None, histories: Any, at: str | int | None
    ) -> Histories:
        if histories is None:
            return known_users(encoded, users, at)
        if users is not None:
            raise InputError("give users of the domain or histories of strangers, not both")
        return strangers(encoded, histories, at)

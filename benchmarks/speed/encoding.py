"""What does our way of encoding texts cost, next to bare sentence-transformers?

    python benchmarks/speed/encoding.py --domain DIR [--texts 2000]

Distinct texts a second with the packaged encoder, in one run, in turn, each several times: (a) `embed_texts` into a new
cache, and (b) `SentenceTransformer.encode` of the same distinct texts, the floor. Loading the model is in neither. Then
(c) `embed_texts` again, with an encoder that may not be asked.

Floor: (a) at least 0.95 of (b). Prediction: (c) encodes nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import numpy as np
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.text.encoder import Encoder, embed_texts, load_encoder

FLOOR = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = list(dict.fromkeys(Domain.load(options.domain).item_texts))[: options.texts]
    encoder = load_encoder()
    encoder.encode(texts[:64])
    bare = encoder._model
    seconds: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            ours = embed_texts(texts, encoder, cache=cache, progress=False)
            seconds["a"].append(time.perf_counter() - start)
            start = time.perf_counter()
            theirs = bare.encode(texts, batch_size=64, show_progress_bar=False)
            seconds["b"].append(time.perf_counter() - start)
            start = time.perf_counter()
            again = embed_texts(texts, Encoder(encoder.name, encoder.revision, refuse), cache=cache, progress=False)
            seconds["c"].append(time.perf_counter() - start)
        if not np.array_equal(again, ours) or not np.allclose(ours, theirs, atol=1e-5):
            raise SystemExit("the vectors differ")
    print(f"{len(texts):,} distinct texts, {torch.get_num_threads()} threads, {options.rounds} rounds")
    print(f"{'texts a second':28}{'median':>10}{'min':>10}{'max':>10}")
    for name, what in (("a", "(a) embed_texts, new cache"), ("b", "(b) bare encode"), ("c", "(c) embed_texts again")):
        rates = [len(texts) / one for one in seconds[name]]
        print(f"{what:28}{statistics.median(rates):10,.0f}{min(rates):10,.0f}{max(rates):10,.0f}")
    ratio = statistics.median(b / a for a, b in zip(seconds["a"], seconds["b"], strict=True))
    print(f"(a)/(b) {ratio:.3f}, floor {FLOOR}; (c) loaded no model and encoded nothing")


def refuse() -> None:
    raise SystemExit("the second run asked for the encoder")


if __name__ == "__main__":
    main()

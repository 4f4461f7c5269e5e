"""Measurement of the word vectors of simulated shops with a text encoder.

    python -m prerec_pyro.data.simulation.word_vectors

writes ``word_vectors.safetensors`` again, with the packaged encoder, in about a minute. `data simulate` reads the file
and needs no encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from prerec_pyro.data.safetensors_io import write_tensors
from prerec_pyro.data.simulation.vocabulary import FACET_PROBABILITY, TYPE, WORD_VECTORS, WORDS, sentence
from prerec_pyro.data.text.encoder import load_encoder

NUM_SENTENCES = 6000
NUM_DIRECTIONS = 64
_RIDGE = 1.0  # in sentences: the vector of a word that occurs in forty sentences is hardly shrunk


def measure(
    encode: Callable[[Sequence[str]], np.ndarray],
    *,
    num_sentences: int = NUM_SENTENCES,
    num_directions: int = NUM_DIRECTIONS,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], float]:
    """Return the contribution of each word to the encoding of a text, and the share of variance that it explains.

    Texts are drawn and encoded. Their principal components are regressed on the words that they contain.

    Parameters
    ----------
    encode
        Function from texts to ``(num_texts, dim)``.
    num_sentences
        Number of texts.
    num_directions
        Number of principal directions to keep, those with the largest variance first.
    seed
        Seed of the texts.

    Returns
    -------
    vectors
        ``"facet/word"`` → ``(num_directions,)`` float32.
    explained
        Share of the variance of the last sixth of the texts, along the first 16 directions, that sums of word vectors
        explain, when fitted to the other texts.
    """
    rng = np.random.default_rng(seed)
    names = [(facet, word) for facet, groups in WORDS.items() for words in groups.values() for word in words]
    place = {name: n for n, name in enumerate(names)}
    contains = np.zeros((num_sentences, len(names)))
    texts = []
    for n in range(num_sentences):
        chosen = {}
        for facet, groups in WORDS.items():
            if facet == TYPE or rng.random() < FACET_PROBABILITY[facet]:
                words = [word for members in groups.values() for word in members]
                chosen[facet] = words[int(rng.integers(len(words)))]
        contains[n, [place[name] for name in chosen.items()]] = 1.0
        texts.append(sentence(chosen))
    encoded = np.asarray(encode(texts), dtype=np.float64)
    encoded -= encoded.mean(axis=0)
    directions = np.linalg.svd(encoded, full_matrices=False)[2][:num_directions]
    directions *= np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])[:, None]
    components = encoded @ directions.T  # (num_sentences, num_directions)
    fitted, rest = slice(0, -num_sentences // 6), slice(-num_sentences // 6, None)
    held_out = components[rest, :16]
    residual = held_out - contains[rest] @ _ridge_regression(contains[fitted], components[fitted, :16])
    explained = 1.0 - (residual**2).sum() / ((held_out - held_out.mean(axis=0)) ** 2).sum()
    vectors = _ridge_regression(contains, components).astype(np.float32)  # (num_words, num_directions)
    return {f"{facet}/{word}": vectors[n] for n, (facet, word) in enumerate(names)}, float(explained)


def _ridge_regression(contains: np.ndarray, components: np.ndarray) -> np.ndarray:
    return np.linalg.solve(contains.T @ contains + _RIDGE * np.eye(contains.shape[1]), contains.T @ components)


if __name__ == "__main__":
    encoder = load_encoder()
    found, share = measure(lambda texts: encoder.encode(list(texts)))
    write_tensors(WORD_VECTORS, found)
    print(f"{WORD_VECTORS}: {len(found)} words; they explain {share:.3f} of the variance in other texts")

"""What the words of simulated shops mean to a text encoder: how the table that is kept beside the code was made.

    python -m prerec_pyro.data.simulation.word_vectors

writes it anew, with the packaged encoder, in about a minute. `data simulate` reads the table and needs no encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from prerec_pyro.data.safetensors_io import write_tensors
from prerec_pyro.data.simulation.vocabulary import CHANCE, MEANINGS, TYPE, WORDS, sentence
from prerec_pyro.data.text.encoder import load_encoder

NUM_SENTENCES = 6000
NUM_DIRECTIONS = 64
_RIDGE = 1.0  # sentences: a word that stands in forty of them is hardly shrunk


def measure(
    encode: Callable[[Sequence[str]], np.ndarray],
    *,
    num_sentences: int = NUM_SENTENCES,
    num_directions: int = NUM_DIRECTIONS,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], float]:
    """Return what each word adds to the encoding of a text that it stands in, and how much of the encodings that says.

    Texts of the shops are drawn and encoded, taken along their principal directions, and regressed on which words they
    are made of.

    Parameters
    ----------
    encode
        From texts to ``(num_texts, dim)``.
    num_sentences
        How many texts.
    num_directions
        How many directions are kept, the widest first.
    seed
        Of the texts.

    Returns
    -------
    meanings
        ``"facet/word"`` → ``(num_directions,)`` float32.
    explained
        Share of the variance of the last sixth of the texts, along the first 16 directions, that the sums of the words
        of these texts explain, fitted to the other texts.
    """
    rng = np.random.default_rng(seed)
    names = [(facet, word) for facet, groups in WORDS.items() for words in groups.values() for word in words]
    place = {name: n for n, name in enumerate(names)}
    holds = np.zeros((num_sentences, len(names)))
    texts = []
    for n in range(num_sentences):
        chosen = {}
        for facet, groups in WORDS.items():
            if facet == TYPE or rng.random() < CHANCE[facet]:
                words = [word for members in groups.values() for word in members]
                chosen[facet] = words[int(rng.integers(len(words)))]
        holds[n, [place[name] for name in chosen.items()]] = 1.0
        texts.append(sentence(chosen))
    encoded = np.asarray(encode(texts), dtype=np.float64)
    encoded -= encoded.mean(axis=0)
    directions = np.linalg.svd(encoded, full_matrices=False)[2][:num_directions]
    directions *= np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])[:, None]
    along = encoded @ directions.T  # (num_sentences, num_directions)
    fitted, rest = slice(0, -num_sentences // 6), slice(-num_sentences // 6, None)
    left = along[rest, :16] - holds[rest] @ _regress(holds[fitted], along[fitted, :16])
    explained = 1.0 - (left**2).sum() / ((along[rest, :16] - along[rest, :16].mean(axis=0)) ** 2).sum()
    meanings = _regress(holds, along).astype(np.float32)  # (num_words, num_directions)
    return {f"{facet}/{word}": meanings[n] for n, (facet, word) in enumerate(names)}, float(explained)


def _regress(holds: np.ndarray, along: np.ndarray) -> np.ndarray:
    return np.linalg.solve(holds.T @ holds + _RIDGE * np.eye(holds.shape[1]), holds.T @ along)


if __name__ == "__main__":
    found, share = measure(load_encoder().encode)
    write_tensors(MEANINGS, found)
    print(f"{MEANINGS}: {len(found)} words; their sums explain {share:.3f} of the encodings of other texts")

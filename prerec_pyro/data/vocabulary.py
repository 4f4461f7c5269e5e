"""The words of simulated shops, and what each word means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# facet → group → words. Words of a group are close in meaning, for a text encoder and in the truth.
TYPE = "type"
WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    TYPE: {
        "garden": ("watering can", "plant pot", "bird feeder", "wheelbarrow", "flower basket", "garden hose"),
        "kitchen": ("frying pan", "mixing bowl", "teapot", "cutting board", "salad bowl", "baking tray"),
        "toys": ("teddy bear", "jigsaw puzzle", "toy train", "doll house", "building blocks", "skipping rope"),
        "office": ("stapler", "desk lamp", "filing cabinet", "office chair", "paper shredder", "label printer"),
        "tools": ("screwdriver", "claw hammer", "cordless drill", "hand saw", "wrench", "tape measure"),
        "decor": ("scented candle", "tealight holder", "picture frame", "wall clock", "vase", "hanging lantern"),
        "bags": ("shoulder bag", "backpack", "suitcase", "shopper bag", "purse", "lunch bag"),
        "jewellery": ("necklace", "earrings", "bracelet", "ring", "brooch", "pendant"),
        "stationery": ("notebook", "greeting card", "gift wrap", "fountain pen", "sketchbook", "envelopes"),
        "sport": ("yoga mat", "football", "tennis racket", "dumbbell", "bicycle helmet", "swimming goggles"),
    },
    "material": {
        "natural": ("wooden", "bamboo", "wicker", "cork"),
        "metal": ("steel", "brass", "copper", "iron"),
        "soft": ("cotton", "felt", "leather", "velvet"),
        "smooth": ("glass", "ceramic", "porcelain", "plastic"),
    },
    "colour": {
        "warm": ("red", "orange", "yellow", "crimson"),
        "cool": ("blue", "green", "turquoise", "navy"),
        "pale": ("white", "cream", "ivory", "beige"),
        "bright": ("pink", "purple", "magenta", "lilac"),
    },
    "style": {
        "old": ("vintage", "antique", "retro", "victorian"),
        "new": ("modern", "minimalist", "sleek", "industrial"),
        "country": ("rustic", "farmhouse", "shabby chic", "cottage"),
    },
    "pattern": {
        "love": ("hearts", "cupids", "kisses"),
        "flowers": ("roses", "daisies", "poppies"),
        "shapes": ("stripes", "polka dots", "checks"),
        "animals": ("owls", "rabbits", "butterflies"),
    },
    "use": {
        "feast": ("christmas", "easter", "halloween"),
        "family": ("children", "babies", "toddlers"),
        "away": ("camping", "travel", "picnics"),
        "party": ("birthdays", "weddings", "parties"),
    },
    "size": {
        "small": ("small", "mini", "tiny", "pocket"),
        "large": ("large", "giant", "jumbo", "oversized"),
    },
    "quality": {
        "fine": ("luxury", "handmade", "elegant", "designer"),
        "plain": ("basic", "budget", "everyday", "simple"),
        "strong": ("sturdy", "waterproof", "heavy duty", "professional"),
    },
}
# How much a facet's word says about an item, and how often a text names the facet.
_WEIGHT = {"material": 0.4, "colour": 0.3, "style": 0.4, "pattern": 0.4, "use": 0.4, "size": 0.25, "quality": 0.3}
_CHANCE = {"material": 0.5, "colour": 0.6, "style": 0.4, "pattern": 0.4, "use": 0.3, "size": 0.35, "quality": 0.35}
_WORD_NOISE = 0.6  # how far a word lies from its group, whose own length is 1
_TEXT = "{size} {quality} {style} {colour} {material} {type} with {pattern} for {use}"
NUM_TOPICS = 6  # of the ten, in one domain
_SHARE = 0.65  # of a group's words that one domain uses


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words of all domains with their true meanings.

    Parameters
    ----------
    vectors
        ``vectors[facet][word]`` is ``(latent_dim,)`` float64; a word is its group's vector plus noise of its own.
    """

    vectors: Mapping[str, Mapping[str, np.ndarray]]

    @classmethod
    def draw(cls, rng: np.random.Generator, latent_dim: int) -> Vocabulary:
        """Return meanings drawn at random; groups have unit length, words scatter around their group."""
        vectors: dict[str, dict[str, np.ndarray]] = {}
        for facet, groups in WORDS.items():
            vectors[facet] = {}
            for words in groups.values():
                centre = rng.standard_normal(latent_dim)
                centre /= np.linalg.norm(centre)
                for word in words:
                    noise = rng.standard_normal(latent_dim) * (_WORD_NOISE / np.sqrt(latent_dim))
                    vectors[facet][word] = centre + noise
        return cls(vectors)

    def mean(self, words: Mapping[str, str]) -> np.ndarray:
        """Return what a text says: the weighted sum of its words' vectors, ``(latent_dim,)`` of unit length."""
        total = self.vectors[TYPE][words[TYPE]].copy()
        for facet, word in words.items():
            if facet != TYPE:
                total += _WEIGHT[facet] * self.vectors[facet][word]
        return total / np.linalg.norm(total)


def draw_catalogue(vocabulary: Vocabulary, rng: np.random.Generator, num_items: int) -> tuple[list[str], np.ndarray]:
    """Return the texts of one domain's items, all different, and what they say.

    A domain sells `NUM_TOPICS` of the ten topics and uses about two thirds of the words of each group, so two
    domains share some words and differ in others that mean nearly the same.

    Returns
    -------
    texts
        `num_items` strings such as ``"red ceramic hanging lantern with hearts"``.
    item_mean
        ``(num_items, latent_dim)`` float64 of unit length.

    Raises
    ------
    ValueError
        If the words cannot make that many different texts.
    """
    words = _words_of_domain(rng)
    texts: dict[str, np.ndarray] = {}
    for _ in range(20 * num_items):
        if len(texts) == num_items:
            break
        chosen = {TYPE: _pick(words[TYPE], rng)}
        chosen |= {facet: _pick(words[facet], rng) for facet, chance in _CHANCE.items() if rng.random() < chance}
        texts.setdefault(_sentence(chosen), vocabulary.mean(chosen))
    if len(texts) < num_items:
        raise ValueError(f"num_items is {num_items}; the words make about {len(texts)} different texts, ask for fewer")
    return list(texts), np.stack(list(texts.values()))


def _words_of_domain(rng: np.random.Generator) -> dict[str, list[str]]:
    topics = set(rng.choice(list(WORDS[TYPE]), size=NUM_TOPICS, replace=False).tolist())
    words: dict[str, list[str]] = {}
    for facet, groups in WORDS.items():
        words[facet] = []
        for group, members in groups.items():
            size = max(1, round(_SHARE * len(members)))
            used = rng.choice(members, size=size, replace=False).tolist()
            if facet != TYPE or group in topics:
                words[facet] += used
    return words


def _pick(words: list[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _sentence(chosen: Mapping[str, str]) -> str:
    text = _TEXT
    for facet in WORDS:
        before = {"pattern": " with ", "use": " for "}.get(facet, "")
        if facet in chosen:
            text = text.replace("{" + facet + "}", chosen[facet])
        else:
            text = text.replace(before + "{" + facet + "}", "")
    return " ".join(text.split())

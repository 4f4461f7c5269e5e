"""The recommendation where the right one is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from prerec_pyro.evaluation.transfer import METRICS, Rival, describe_transfer, transfer_summary

USERS = np.repeat(np.arange(200), 3)


def metrics(level: float, seed: int) -> dict[str, np.ndarray]:
    """Metrics of queries around `level`; the standard error of their mean is below 0.01."""
    rng = np.random.default_rng(seed)
    return {metric: level + rng.normal(0, 0.1, len(USERS)) for metric in METRICS}


def summary(ours: float = 0.5, **rivals: float):
    kinds = {"pop": "popularity", "sbert": "texts", "prerec_n": "zero-shot", "sasrec": "trained here"}
    return transfer_summary(
        metrics(ours, 0),
        [Rival(n, kinds[n], metrics(level, i + 1)) for i, (n, level) in enumerate(rivals.items())],
        USERS,
    )


@pytest.mark.parametrize(
    ("rivals", "recommendation", "says"),
    [
        ({"pop": 0.3, "sbert": 0.3, "prerec_n": 0.4, "sasrec": 0.2}, "zero-shot", "pop, sbert, prerec_n and sasrec"),
        ({"pop": 0.3, "sbert": 0.5}, "zero-shot", "better than pop, and is not shown to differ from sbert"),
        ({"sbert": 0.5}, "zero-shot", "no rival is shown to rank better"),
        ({"pop": 0.7}, "stay with popularity", "transfer is negative"),
        ({"pop": 0.5}, "stay with popularity", "not shown to rank better than popularity"),
        ({"pop": 0.3, "sbert": 0.7}, "fine-tune first", "sbert ranks better than zero-shot here: transfer is negative"),
        ({"sbert": 0.7, "prerec_n": 0.8}, "fine-tune first", "sbert and prerec_n rank better"),
        ({"pop": 0.3, "sasrec": 0.7}, "fine-tune first", "sasrec ranks better than zero-shot, trained on this domain"),
        ({"pop": 0.7, "sasrec": 0.8}, "fine-tune first", "sasrec ranks better"),
        # A trained model that does not beat popularity is no reason to train.
        ({"pop": 0.8, "sasrec": 0.7}, "stay with popularity", "transfer is negative"),
        ({"pop": 0.3, "sasrec": 0.5}, "zero-shot", "not shown to differ from sasrec"),
    ],
)
def test_the_recommendation(rivals, recommendation, says):
    found = summary(**rivals)
    assert found.recommendation == recommendation
    assert says in found.reason


def test_differences_are_zero_shot_minus_rival():
    ours, theirs = metrics(0.5, 0), metrics(0.3, 1)
    found = transfer_summary(ours, [Rival("pop", "popularity", theirs)], USERS)
    for metric in METRICS:
        gain = found.against["pop"][metric]
        assert gain.difference == pytest.approx((ours[metric] - theirs[metric]).mean())
        assert gain.low < gain.difference < gain.high
        assert gain.better


def test_json_and_words_say_the_same():
    found = summary(pop=0.7, sbert=0.3)
    row = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert row["recommendation"] == "stay with popularity"
    assert list(row["against"]) == ["pop", "sbert"]
    assert row["against"]["pop"]["high"] < 0 < row["against"]["sbert"]["low"]
    assert set(row["against"]["pop"]["recall"]) == {"difference", "low", "high", "share_not_better"}
    text = describe_transfer("prerec", "shop", found, ["prerec_n (train it)"])
    assert text.startswith("Transfer to shop: r-NDCG of prerec minus that of pop ")
    assert f"pop {row['against']['pop']['difference']:+.4f} (95 % {row['against']['pop']['low']:+.4f} to " in text
    assert "worse; sbert +0.2" in text
    assert "Recommendation: stay with popularity, since" in text
    assert text.endswith("Not measured: prerec_n (train it).")


def test_one_user_decides_nothing():
    one = transfer_summary(
        {m: np.array([1.0]) for m in METRICS},
        [Rival("pop", "popularity", {m: np.array([0.0]) for m in METRICS})],
        np.array([0]),
    )
    assert one.recommendation == "stay with popularity"
    assert "pop +1.0000, undecided" in describe_transfer("prerec", "shop", one)

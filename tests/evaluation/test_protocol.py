"""The protocol against a plain loop over users and events."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import evaluate, num_queries, unseen_queries, validation_score
from tests.support.models import small_domain

K_PERCENT = 30.0


class Drawn:
    """Scores that depend on the last item alone, and often tie."""

    name = "drawn"

    def __init__(self, num_items: int = 12, seed: int = 0) -> None:
        self.table = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (num_items, num_items))).float()

    def scorer(self, encoded):
        return lambda batch: self.table[batch.last_items]


class Constant:
    name = "constant"

    def __init__(self, value: float) -> None:
        self.value = value

    def scorer(self, encoded):
        return lambda batch: torch.full((batch.num_queries, encoded.num_items), self.value)


def long_domain() -> Domain:
    """A user with more than 64 events, one with a single event, and the users of a small domain."""
    small = small_domain(num_users=6)
    events = np.random.default_rng(1).integers(0, 12, 81)
    return Domain(
        name="long",
        item_ids=small.item_ids,
        item_texts=small.item_texts,
        user_ids=np.array([*small.user_ids, "much", "little"], object),
        offsets=np.concatenate([small.offsets, small.offsets[-1] + [80, 81]]),
        item_index=np.concatenate([small.item_index, events]),
        timestamps=np.concatenate([small.timestamps, small.timestamps[0] + 3600 * np.arange(81)]),
        embeddings=small.embeddings,
    )


@pytest.fixture(scope="module")
def encoded():
    return encode_domain(long_domain())


def by_loop(encoded, users, table: torch.Tensor) -> list[dict[str, float]]:
    """One query an event but a user's first; metrics averaged over the ranks that the ties allow."""
    domain, size = encoded.domain, math.floor(encoded.num_items * K_PERCENT / 100)
    b, result = 6 / (K_PERCENT / 100), []
    for user in users:
        events = domain.item_index[domain.offsets[user] : domain.offsets[user + 1]]
        for last, target in itertools.pairwise(events):
            scores = table[last].tolist()
            above = sum(score > scores[target] for score in scores)
            tied = sum(score == scores[target] for score in scores)
            ranks = range(above + 1, above + tied + 1)
            gain = [math.log(2) / math.log(2 + b * (r - 1) / encoded.num_items) if r <= size else 0.0 for r in ranks]
            result.append({"recall": np.mean([r <= size for r in ranks]), "r_ndcg": np.mean(gain)})
    return result


@pytest.mark.parametrize("max_scores", [1, 50, 1 << 23])
def test_evaluation_is_a_loop_over_events(encoded, max_scores):
    users, recommender, seen = np.array([7, 0, 6, 3]), Drawn(), []
    expected = by_loop(encoded, users, recommender.table)
    found = evaluate(recommender, encoded, users, k_percent=K_PERCENT, max_scores=max_scores, progress=seen.append)
    row = found.rows("test")[0]
    assert sum(seen) == row["num_queries"] == len(expected) == num_queries(encoded.domain, users)
    for metric in ("recall", "r_ndcg"):
        assert row[metric] == pytest.approx(np.mean([query[metric] for query in expected]), abs=1e-12)
        ours, theirs = found.ranking.per_query(metric), [query[metric] for query in expected]
        assert np.allclose(np.sort(ours), np.sort(theirs))


def test_memory_does_not_change_the_result(encoded):
    users = np.arange(encoded.domain.num_users)
    rows = [
        evaluate(Drawn(), encoded, users, k_percent=K_PERCENT, max_scores=size).rows("test")[0]
        for size in (1, 100, 1 << 23)
    ]
    random = {"coverage", "mean_popularity", "gini_exposure"}  # ties in the lists are broken at random
    for row in rows:
        assert {name: value for name, value in row.items() if name not in random} == pytest.approx(
            {name: value for name, value in rows[0].items() if name not in random}
        )


def test_a_batch_never_exceeds_the_bound(encoded):
    sizes = []

    class Watched(Drawn):
        def scorer(self, encoded):
            return lambda batch: sizes.append(batch.num_queries * encoded.num_items) or self.table[batch.last_items]

    evaluate(Watched(), encoded, np.arange(6), k_percent=K_PERCENT, max_scores=200)
    assert len(sizes) > 1
    assert max(sizes) <= 200


def test_all_equal_is_chance(encoded):
    row = evaluate(Constant(0.0), encoded, np.arange(6), k_percent=K_PERCENT).rows("test")[0]
    assert row["recall"] == pytest.approx(3 / 12)  # K = floor(12 · 30 %)
    assert row["coverage"] == 1.0


def test_rows_are_the_contract_and_plain_json(encoded):
    found = evaluate(Drawn(), encoded, np.arange(4), k_percent=K_PERCENT, sources=[small_domain(num_users=6)])
    rows = json.loads(json.dumps(found.rows("validation"), allow_nan=False))
    assert [row["subset"] for row in rows] == ["all", "unseen"]
    for row in rows:
        assert (row["method"], row["domain"], row["split"], row["k_percent"]) == ("drawn", "long", "validation", 30.0)
        assert {"recall", "r_ndcg", "num_queries"} <= set(row)
    assert rows[1]["num_queries"] == 0, "all users and items are those of the source"
    assert rows[1]["recall"] is None, "a mean over nothing is null"


def test_unseen_queries_have_a_new_user_and_a_new_item(encoded):
    domain = encoded.domain
    source = Domain("source", domain.item_ids[:4], domain.item_ids[:4], domain.user_ids[:2], [0, 1, 2], [0, 1])
    other = Domain("other", domain.item_ids[4:5], domain.item_ids[4:5], np.array(["new user"], object), [0, 1], [0])
    users, recommender = np.arange(8), Drawn()
    found = evaluate(recommender, encoded, users, k_percent=K_PERCENT, sources=[source, other], max_scores=60)
    keep, expected = [], by_loop(encoded, users, recommender.table)
    for user in users:
        targets = domain.item_index[domain.offsets[user] + 1 : domain.offsets[user + 1]]
        keep += [user >= 2 and item >= 5 for item in targets]
    row = found.rows("test")[1]
    assert 0 < row["num_queries"] == sum(keep) < len(keep)
    kept = [query["r_ndcg"] for query, new in zip(expected, keep, strict=True) if new]
    assert row["r_ndcg"] == pytest.approx(np.mean(kept))
    events = np.arange(domain.num_interactions)
    assert unseen_queries(domain, events, []).all()


def test_without_sources_there_is_no_unseen_row(encoded):
    assert len(evaluate(Drawn(), encoded, np.arange(2), k_percent=K_PERCENT).rows("test")) == 1


@pytest.mark.parametrize("k_percent", [0.0, -1.0, 101.0, 8.0])
def test_k_must_be_at_least_one_item(encoded, k_percent):
    with pytest.raises(InputError, match="K%"):
        evaluate(Drawn(), encoded, np.arange(2), k_percent=k_percent)


def test_a_score_that_is_no_number_is_refused(encoded):
    with pytest.raises(InputError, match="NaN"):
        evaluate(Constant(math.nan), encoded, np.arange(2), k_percent=K_PERCENT)


def test_validation_is_the_mean_over_domains(encoded):
    other = encode_domain(small_domain("other", num_users=4, seed=3))
    parts = [(encoded, np.arange(6)), (other, np.arange(4))]
    each = [evaluate(Drawn(), e, users, k_percent=K_PERCENT).ranking.compute()["r_ndcg"] for e, users in parts]
    assert validation_score(Drawn(), parts, K_PERCENT, 10_000) == pytest.approx(np.mean(each))
    assert each[0] != each[1]


def test_validation_draws_users_until_there_are_enough_queries(encoded):
    users = np.arange(6)
    queries = (np.diff(encoded.domain.offsets)[users] - 1).clip(0)
    drawn = np.random.default_rng(0).permutation(users)
    assert drawn[0] != 0, "not the first users, who are often the earliest"
    some = validation_score(Drawn(), [(encoded, users)], K_PERCENT, int(queries[drawn[0]]) + 1)
    expected = evaluate(Drawn(), encoded, np.sort(drawn[:2]), k_percent=K_PERCENT).ranking.compute()["r_ndcg"]
    assert some == pytest.approx(expected)


def test_validation_ranks_one_item_at_least(encoded):
    smallest = evaluate(Drawn(), encoded, np.arange(6), k_percent=100 / 12).ranking.compute()["r_ndcg"]
    assert validation_score(Drawn(), [(encoded, np.arange(6))], 0.01, 10_000) == pytest.approx(smallest)


def test_validation_leaves_out_domains_without_queries(encoded):
    lonely = (encoded, np.array([7]))  # one event
    with pytest.raises(InputError, match="no source domain has a validation user with two events"):
        validation_score(Drawn(), [lonely], K_PERCENT, 100)
    one = validation_score(Drawn(), [(encoded, np.arange(6))], K_PERCENT, 10_000)
    assert validation_score(Drawn(), [lonely, (encoded, np.arange(6))], K_PERCENT, 10_000) == one


def test_queries_are_paired_between_recommenders(encoded):
    users = np.array([7, 0, 6, 3])
    one, other = (evaluate(Drawn(seed=s), encoded, users, k_percent=K_PERCENT) for s in (0, 1))
    assert one.events.tolist() == other.events.tolist()
    assert len(one.events) == one.ranking.num_queries
    firsts = set(encoded.domain.offsets.tolist())
    assert sorted(one.events) == sorted(
        event
        for user in users
        for event in range(encoded.domain.offsets[user], encoded.domain.offsets[user + 1])
        if event not in firsts
    )
    assert one.users.tolist() == encoded.domain.user_of_event[one.events].tolist()

"""The recommender as a map over Arrow batches, as Spark's ``mapInArrow`` calls it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError
from prerec_pyro.models.baselines.gru4rec import GRU4RecConfig
from prerec_pyro.ranking import lists as ranking
from prerec_pyro.recommenders.registry import load_model, new_model
from prerec_pyro.serving.arrow import SCHEMA, ArrowRecommender, ListRequest
from tests.support.models import small_domain


def batches(users: list[str], size: int) -> Iterator[pa.RecordBatch]:
    for begin in range(0, len(users), size):
        chunk = users[begin : begin + size]
        yield pa.record_batch({"row": pa.array(range(len(chunk))), "user_id": pa.array(chunk)})


def frame(lists: list[pa.RecordBatch]) -> pd.DataFrame:
    return pa.Table.from_batches(lists, SCHEMA).to_pandas()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_lists_are_those_of_the_model_whatever_the_batches(list_request, users, size):
    some = users[::-1]
    expected = load_model(list_request.model, "cpu").recommend(Domain.load(list_request.domain), some, k=4)
    mapped = ArrowRecommender(list_request).map(batches(some, size))
    assert iter(mapped) is mapped, "Spark wants an iterator that it can draw from lazily"
    found = list(mapped)
    assert all(isinstance(one, pa.RecordBatch) and one.schema == SCHEMA for one in found)
    assert len(found) == -(-len(some) // size)
    pd.testing.assert_frame_equal(frame(found), expected, check_dtype=False, rtol=1e-4, atol=1e-5)


def test_a_pickled_copy_leaves_its_model_behind(list_request, users):
    used = ArrowRecommender(list_request)
    here = list(used.map(batches(users, 4)))
    sent = pickle.dumps(used)
    assert len(sent) < 2000
    assert list(pickle.loads(sent).map(batches(users, 4))) == here


def test_no_users_give_no_lists(list_request):
    (found,) = ArrowRecommender(list_request).map([pa.record_batch({"user_id": pa.array([], pa.string())})])
    assert (len(found), found.schema) == (0, SCHEMA)


def test_the_options_are_those_of_recommend(list_request, users):
    model, shop = load_model(list_request.model, "cpu"), Domain.load(list_request.domain)
    changed: ListRequest = replace(list_request, top_k=2, do={"Z": 0}, seen="keep")
    found = frame(list(ArrowRecommender(changed).map(batches(users, 50))))
    expected = model.recommend(shop, users, k=2, do={"Z": 0}, seen="keep")
    assert found["item_id"].tolist() == expected["item_id"].tolist()
    calibrated = frame(list(ArrowRecommender(replace(list_request, calibrate=True)).map(batches(users, 50))))
    assert (
        calibrated["score"] - frame(list(ArrowRecommender(list_request).map(batches(users, 50))))["score"]
    ).abs().max() > 0


@pytest.mark.parametrize(
    ("batch", "says"),
    [({"user": ["u0"]}, "no column 'user_id'; it has user"), ({"user_id": ["nobody"]}, "unknown user ids: 'nobody'")],
)
def test_invalid_batches_are_refused(list_request, batch, says):
    with pytest.raises(InputError, match=says):
        list(ArrowRecommender(list_request).map([pa.record_batch({k: pa.array(v) for k, v in batch.items()})]))


def test_users_who_are_scored_in_several_blocks_make_one_batch(list_request, users, monkeypatch):
    """Lists of many users are joined from blocks, and their strings then lie in several chunks."""
    one = ArrowRecommender(list_request)
    (whole,) = one.map(batches(users, len(users)))
    scored, blocks = ranking.score_histories, []

    def in_blocks(scorer, encoded, histories):
        for block in scored(scorer, encoded, histories, max_scores=2 * encoded.num_items):
            blocks.append(block[0])
            yield block

    monkeypatch.setattr(ranking, "score_histories", in_blocks)
    (found,) = one.map(batches(users, len(users)))
    assert len(blocks) > 1, "the test needs several blocks"
    assert found.schema == SCHEMA
    pd.testing.assert_frame_equal(found.to_pandas(), whole.to_pandas(), rtol=1e-4, atol=1e-5)


def test_a_baseline_cannot_be_calibrated(list_request, users, tmp_path):
    baseline = new_model("gru4rec", config=GRU4RecConfig(latent_dim=4, num_layers=1), window=3, device="cpu")
    baseline.training = baseline.training.model_copy(update={"epochs": 1, "min_steps": 1, "num_negatives": 8})
    baseline.fit([small_domain("a")]).save(tmp_path / "baseline")
    request = replace(list_request, model=str(tmp_path / "baseline"), calibrate=True)
    with pytest.raises(InputError, match="a model of gru4rec cannot be calibrated"):
        list(ArrowRecommender(request).map(batches(users, 4)))


def test_unknown_users_get_the_list_of_somebody_without_a_history(list_request, users):
    some = pa.record_batch({"user_id": pa.array([users[0], "nobody"])})
    request = replace(list_request, unknown="popular")
    found = ArrowRecommender(request).lists(some).to_pandas()
    assert found["user_id"].unique().tolist() == [users[0], "nobody"]
    assert ArrowRecommender(replace(list_request, unknown="skip")).lists(some)["user_id"].unique().tolist() == [
        users[0]
    ]
    assert "unknown" not in list_request.as_json()
    assert request.as_json()["unknown"] == "popular"

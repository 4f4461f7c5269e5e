"""Figure 4: each measure by hand, in a domain with days and in one without."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.errors import InputError
from prerec_pyro.reproduction import figure4 as popularity
from prerec_pyro.reproduction import markdown
from prerec_pyro.reproduction.figure4 import popularity_frame, popularity_summary
from tests.support.models import prerec, shaken, small_domain


def test_the_measures_are_those_of_appendix_e() -> None:
    timed, static = small_domain("timed"), small_domain("static", timestamps=False, seed=1)
    frame = popularity_frame([timed, static], window=3)
    assert frame["domain"].unique().tolist() == ["timed", "static"]
    for (name, slot), part in frame.groupby(["domain", "slot"]):
        domain = {"timed": timed, "static": static}[name]
        chosen = domain.item_index
        if name == "timed":
            day = domain.days - domain.days.min()
            chosen = chosen[(day >= slot - 3) & (day < slot)]
        counts = np.bincount(chosen, minlength=domain.num_items)
        assert part["item_id"].tolist() == domain.item_ids[counts > 0].tolist()
        own = counts[counts > 0]
        assert part["count"].tolist() == own.tolist()
        assert part["share"].sum() == pytest.approx(1.0)
        assert part["F_1"].to_numpy() == pytest.approx(own / counts.mean(), rel=1e-5)
        assert part["F_2"].to_numpy() == pytest.approx(own / np.sqrt((counts**2.0).mean()), rel=1e-5)
    slots = frame.groupby("domain")["slot"].nunique()
    assert (slots["static"], slots["timed"] > 5) == (1, True)


def test_slots_are_few_and_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    every = popularity_frame([small_domain()], window=3)["slot"].unique()
    monkeypatch.setattr(popularity, "MAX_SLOTS", 3)
    some = popularity_frame([small_domain()], window=3)["slot"].unique()
    assert len(some) == 3
    assert {every[0], every[-1]} <= set(some)


def test_the_score_is_that_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = shaken(prerec().fit([small_domain("one"), small_domain("two", seed=1)]))
    frame = popularity_frame([small_domain("shop", seed=2)], model)
    assert frame.equals(popularity_frame([small_domain("shop", seed=2)], model, window=99)), "the window is the model's"
    one = frame.iloc[5]
    shop = model.encode(small_domain("shop", seed=2))
    item, expected = shop.domain.item_position([one["item_id"]]), 0.0
    for number, window in enumerate((shop.popularity, *shop.other_popularity)):
        slot = window.slots_of(shop.popularity, [one["slot"]])
        factors = torch.from_numpy(window.factors(window.counts(item, slot), slot))
        with torch.no_grad():
            expected += float(model.graph.f_pop(factors, torch.tensor([number])) @ model.graph.W_z)
    assert one["score"] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    with pytest.raises(InputError, match="prerec_n, it has no popularity score"):
        popularity_frame([small_domain()], prerec("unconfounded").fit([small_domain()]))


def test_the_summary_has_quantiles() -> None:
    frame = popularity_frame([small_domain("one"), small_domain("two", seed=1)], window=3)
    summary = popularity_summary(frame)
    assert [(r["domain"], r["measure"]) for r in summary] == [
        (domain, measure) for domain in ("one", "two") for measure in ("count", "share", "F_1", "F_2")
    ]
    part = frame[frame["domain"] == "two"]
    assert summary[5]["q50"] == part["share"].median()
    assert summary[5]["num_items"] == part["item_id"].nunique()
    assert len(markdown.popularity(summary).splitlines()) == 10

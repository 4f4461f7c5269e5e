"""Leave-one-domain-out: every target's numbers are those of a study of its own; equal sources share a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from prerec_pyro.errors import InputError
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.reproduction import study as study_module
from prerec_pyro.reproduction.corpus.transfer import MEAN, TRANSFER, leave_one_out, ratio_frame
from prerec_pyro.reproduction.rows import chosen
from prerec_pyro.reproduction.study import Study
from tests.support.corpora import NAMES, tiny_corpus
from tests.support.studies import K_PERCENT

ROWS = chosen(TRANSFER, ["pop", "sbert", "prerec", "prerec_calibrated"])


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Names of the sources of each training."""
    calls, fit = [], PreRec.fit

    def counting(self, sources, **options):
        calls.append([source.name for source in sources])
        return fit(self, sources, **options)

    monkeypatch.setattr(PreRec, "fit", counting)
    return calls


def test_each_domain_is_left_out_in_turn(tmp_path: Path, trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tiny_corpus(tmp_path / "run")
    report = leave_one_out(corpus, ROWS, list(corpus.domains))
    expected = [["shop", "stall"], ["films-a", "films-b", "stall"], ["films-a", "films-b", "shop"]]
    assert trainings == expected, "two targets with the same sources share a model"
    assert [facts["sources"] for facts in report.facts] == [expected[0], *expected]
    assert [row["target"] for row in report.rows[::4]] == list(NAMES)
    assert {(one["row"], one["against"]) for one in report.comparisons} <= {
        (ours, other) for ours in ("prerec", "prerec_calibrated") for other in ("pop", "sbert")
    }
    sources = [corpus.domains["shop"], corpus.domains["stall"]]
    own = Study(tmp_path / "own", sources, [corpus.domains["films-a"]], [K_PERCENT], corpus.plan)
    for row in ROWS:
        record = next(one for one in report.rows if (one["target"], one["row"]) == ("films-a", row.name))
        assert record["recall"]["values"] == [own.cell(row, own.targets[0], 0).rows["all"]["recall"]]

    monkeypatch.setattr(study_module, "evaluate", lambda *_, **__: pytest.fail("measured a finished cell again"))
    again = leave_one_out(tiny_corpus(tmp_path / "run"), ROWS, list(corpus.domains))
    assert again.to_json() == report.to_json()


def test_the_report_says_what_it_is(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path, max_queries=10, k_percent=0.5, sources=["films-a", "films-b", "shop"])
    report = leave_one_out(corpus, chosen(TRANSFER, ["pop", "prerec"]), ["films-b", "stall"])
    text = report.to_markdown()
    assert "**A sample, not the result:** about 10 queries of each target" in text
    assert "Overlaps: films-a, films-b. Never a source: stall. Test users" in text
    assert "| **geometric mean** |" in text
    assert "lists of 1 item (the K% asked is less than one). Log: order only. Sources: films-a, films-b, shop." in text
    assert "K is one item in films-b (8.33 %), stall (8.33 %)" in text
    assert "*Order only*: the log has no times" in text
    assert "Paired bootstrap over users" in text
    assert all(10 <= facts["num_queries"] < 20 for facts in report.facts)
    frame = ratio_frame(report)
    assert frame["target"].unique().tolist() == ["films-b", "stall", MEAN]
    assert frame["ratio"].tolist()[:4] == [one["ratio"] for one in report.ratios]

    whole = leave_one_out(tiny_corpus(tmp_path), chosen(TRANSFER, ["pop", "prerec"]), ["films-b"]).to_markdown()
    assert "sample" not in whole
    assert "is one item" not in whole


def test_all_is_checked_before_anything_is_trained(tmp_path: Path, trainings) -> None:
    corpus = tiny_corpus(tmp_path, sources=["films-a", "shop"], overlaps=[frozenset({"shop", "films-a", "stall"})])
    with pytest.raises(InputError, match="target stall: no source is left"):
        leave_one_out(corpus, ROWS, ["films-b", "stall"])
    for names in (["pop", "sbert"], ["prerec"]):
        with pytest.raises(InputError, match="--methods: a ratio needs one of prerec"):
            leave_one_out(corpus, chosen(TRANSFER, names), ["films-b"])
    assert trainings == []
    assert list(tmp_path.iterdir()) == []

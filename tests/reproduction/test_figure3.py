"""Figure 3: the numbers of samples, and its ends against the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from prerec_pyro.errors import InputError
from prerec_pyro.reproduction.figure3 import FIGURE3, curve_frame, curves, sample_sizes
from prerec_pyro.reproduction.rows import TABLE2, chosen
from prerec_pyro.reproduction.tables import table
from tests.support.studies import tiny_study


@pytest.mark.parametrize(
    ("total", "given", "sizes"),
    [
        (1234, None, [10, 100, 1000, 1234]),
        (1000, None, [10, 100, 1000]),
        (7, None, [7]),
        (1234, [50, None], [50, 1234]),
        (1234, [5000, 50], [50, 1234]),
    ],
)
def test_sample_sizes(total: int, given: list[int | None] | None, sizes: list[int]) -> None:
    assert sample_sizes(total, given) == sizes


def test_no_samples_are_refused() -> None:
    with pytest.raises(InputError, match="nothing to fine-tune on"):
        sample_sizes(0)
    with pytest.raises(InputError, match="--samples: expected numbers of 1 or more"):
        sample_sizes(10, [0])


def test_curves_end_in_table2(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, seeds=2)
    names = ["pop", "prerec", "sasrec_scratch", "prerec_fine_tuned"]
    report = curves(study, chosen(FIGURE3, names), [3, None])
    total = study.num_samples(study.targets[0])
    every = [record for record in report.rows if record["subset"] == "all"]
    assert [(r["row"], r["samples"], r["is_all"]) for r in every] == [
        *(("pop", 0, False), ("prerec", 0, False), ("sasrec_scratch", 3, False), ("prerec_fine_tuned", 3, False)),
        *(("sasrec_scratch", total, True), ("prerec_fine_tuned", total, True)),
    ]
    same = table(study, "table2", chosen(TABLE2, ["sasrec_scratch", "prerec_fine_tuned"])).rows[:2]
    for last, record in zip(every[-2:], same, strict=True):
        assert last["r_ndcg"] == record["r_ndcg"]
    assert {(one["row"], one["against"], one["samples"]) for one in report.comparisons} == {
        ("prerec_fine_tuned", "sasrec_scratch", samples) for samples in (3, total)
    }
    text = report.to_markdown()
    assert r"| SASRec\* | 3 | " in text
    assert f"| PreRec | all, {total} | " in text
    assert "| POP | 0 | " in text

    frame = curve_frame(report)
    assert frame["stage"].tolist() == ["untrained", "zero-shot", *["scratch", "fine-tuned"] * 2]
    assert frame["r_ndcg"].tolist() == [record["r_ndcg"]["mean"] for record in every]
    assert frame["recall_half_width"].isna().tolist() == [True, *[False] * 5]

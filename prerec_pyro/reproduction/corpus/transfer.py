"""Leave-one-domain-out: each domain of a corpus in turn is the target of models that never saw it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from prerec_pyro.errors import InputError
from prerec_pyro.reproduction.corpus import markdown
from prerec_pyro.reproduction.corpus.corpus import Corpus
from prerec_pyro.reproduction.corpus.ratios import Ratio, TargetSummary, geometric_means
from prerec_pyro.reproduction.rows import TABLE1, Row
from prerec_pyro.reproduction.study import Study
from prerec_pyro.reproduction.summary import Measured

logger = logging.getLogger(__name__)
TRANSFER = tuple(row for row in TABLE1 if row.name in ("pop", "sbert", "prerec_n", "prerec", "prerec_calibrated"))
MEAN = "geometric mean"


@dataclass(frozen=True)
class TransferReport:
    """Result of `leave_one_out`.

    Attributes
    ----------
    about
        Settings behind the numbers, plain JSON.
    facts
        One record per target: sources, sizes, K and the kind of times; see `Corpus.facts`.
    rows, comparisons
        Records of all targets; see `TargetSummary`.
    ratios
        Ratio of each of our rows to the best other row, by target and metric, with ``low`` and ``high``.
    geometric_means
        The same over the targets; see `geometric_means`.
    """

    about: dict[str, Any]
    facts: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    comparisons: list[dict[str, Any]]
    ratios: list[dict[str, Any]]
    geometric_means: list[dict[str, Any]]
    name: str = "transfer"

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "name": self.name,
            "about": self.about,
            "targets": self.facts,
            "rows": self.rows,
            "comparisons": self.comparisons,
            "ratios": self.ratios,
            "geometric_means": self.geometric_means,
        }

    def to_markdown(self) -> str:
        """Return the report as Markdown: the ratios of all targets, then the table of each."""
        parts = ["# Transfer: each domain left out in turn", markdown.about(self.about)]
        parts += [markdown.ratios(self.facts, self.ratios, self.geometric_means)]
        for facts in self.facts:
            own = [row for row in self.rows if row["target"] == facts["target"]]
            compared = [one for one in self.comparisons if one["target"] == facts["target"]]
            parts.append(markdown.target(facts, own, compared))
        return "\n\n".join(parts) + "\n"


def check_rows(rows: Sequence[Row]) -> None:
    """Raise `InputError` unless there is a row of ours and another row, whose ratio can be taken."""
    if all(row.ours for row in rows) or not any(row.ours for row in rows):
        raise InputError(
            "--methods: a ratio needs one of prerec, prerec_calibrated and another row, such as --methods pop,prerec"
        )


def leave_one_out(corpus: Corpus, rows: Sequence[Row], targets: Sequence[str]) -> TransferReport:
    """Return the metrics of each row on each target; the sources are all domains that do not overlap it.

    Parameters
    ----------
    corpus
        The domains.
    rows
        Some rows of `TRANSFER`.
    targets
        Names of the targets.

    Raises
    ------
    InputError
        If a target has no source or no query, before anything is trained; and as `Study.cell` does.
    """
    check_rows(rows)
    about = corpus.about(targets)
    facts = [corpus.facts(corpus.study(target, corpus.sources_of(target))) for target in targets]
    found, compared, ratios = [], [], list[list[Ratio]]()
    for number, target in enumerate(targets, start=1):
        sources = corpus.sources_of(target)
        logger.info("target %d of %d: %s, sources: %d", number, len(targets), target, len(sources))
        summary = TargetSummary(measured_rows(corpus.study(target, sources), rows), target)
        found += summary.records()
        compared += summary.comparisons()
        ratios.append(summary.ratios())
    by_target = [one.to_json(name) for name, own in zip(targets, ratios, strict=True) for one in own]
    return TransferReport(about, facts, found, compared, by_target, geometric_means(ratios))


def measured_rows(study: Study, rows: Sequence[Row]) -> list[Measured]:
    """Return the rows of a study's target, measured with each seed."""
    (target,) = study.targets
    return [Measured(row, [study.cell(row, target, seed) for seed in study.seeds(row)]) for row in rows]


def ratio_frame(report: TransferReport) -> pd.DataFrame:
    """Return the ratios for `plot_transfer`: ``target, row, label, metric, ratio, low, high``, their mean last."""
    lines = [*report.ratios, *({"target": MEAN, **one} for one in report.geometric_means)]
    frame = pd.DataFrame(lines)[["target", "row", "label", "metric", "ratio", "low", "high"]]
    return frame.astype({"ratio": float, "low": float, "high": float})

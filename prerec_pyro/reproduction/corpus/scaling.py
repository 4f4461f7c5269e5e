"""Zero-shot against the number of source domains and of their interactions, over several orders of the sources."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.bootstrap import mean_over_seeds
from prerec_pyro.reproduction.cells import METRICS
from prerec_pyro.reproduction.corpus import markdown
from prerec_pyro.reproduction.corpus.corpus import Corpus
from prerec_pyro.reproduction.corpus.transfer import check_rows, measured_rows
from prerec_pyro.reproduction.rows import TABLE1, Row
from prerec_pyro.reproduction.summary import records

logger = logging.getLogger(__name__)
SCALING = tuple(row for row in TABLE1 if row.name in ("pop", "sbert", "prerec", "prerec_calibrated"))
SIZES = (1, 3, 6, 12)


@dataclass(frozen=True)
class Step:
    """Sources of one target in one order.

    Attributes
    ----------
    target
        Name of the target.
    order
        Number of the random order.
    size
        Number of source domains.
    sources
        Their names; those of a smaller size in the same order are among them.
    """

    target: str
    order: int
    size: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class ScalingReport:
    """Result of `scaling`.

    Attributes
    ----------
    about
        Settings behind the numbers, plain JSON.
    facts
        One record per target; see `Corpus.facts`.
    points
        One record per target, order, size and row: ``domains``, ``interactions``, ``sources``, the metrics, and the
        ``ratio`` of each to the best row that has no source.
    curve
        One record per size and row: the mean over the orders of the geometric mean over the targets of the ratios,
        with ``by_order``.
    """

    about: dict[str, Any]
    facts: list[dict[str, Any]]
    points: list[dict[str, Any]]
    curve: list[dict[str, Any]]
    name: str = "scaling"

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "name": self.name,
            "about": self.about,
            "targets": self.facts,
            "points": self.points,
            "curve": self.curve,
        }

    def to_markdown(self) -> str:
        """Return the report as Markdown: the curve, then the metrics of each target."""
        head = ["# Scaling: zero-shot and the number of source domains", markdown.scaling_about(self.about)]
        parts = [*head, markdown.curve(self.curve)]
        for facts in self.facts:
            own = [one for one in self.points if one["target"] == facts["target"]]
            parts.append(markdown.scaling_target(facts, own))
        return "\n\n".join(parts) + "\n"


def steps(corpus: Corpus, targets: Sequence[str], sizes: Sequence[int], orders: int, common: bool) -> list[Step]:
    """Return the sources of each target, order and size; no source overlaps its target.

    An order is one random order of the corpus, the same for all targets. A target has the first of those domains that
    may be its sources, so smaller sets are nested in larger ones. A size above the number of sources that each target
    has stands for that number.

    Parameters
    ----------
    corpus
        The domains.
    targets
        Names of the targets.
    sizes
        Numbers of source domains.
    orders
        Number of random orders.
    common
        Whether all targets have the same sources, none of which overlaps any target.

    Raises
    ------
    InputError
        If a target has no source.
    """
    allowed = {target: corpus.sources_of(*(targets if common else [target])) for target in targets}
    most = min(map(len, allowed.values()))
    sizes = sorted({min(size, most) for size in sizes})
    found = []
    for order in range(orders):
        drawn = np.random.default_rng(order).permutation(corpus.may_be_sources).tolist()
        for target in targets:
            own = [name for name in drawn if name in allowed[target]]
            found += [Step(target, order, size, tuple(own[:size])) for size in sizes]
    return found


def scaling(
    corpus: Corpus,
    rows: Sequence[Row],
    targets: Sequence[str],
    sizes: Sequence[int] = SIZES,
    orders: int = 3,
    common: bool = False,
) -> ScalingReport:
    """Return the metrics of each row on each target by the number of sources, for several orders of the sources.

    Parameters
    ----------
    corpus
        The domains.
    rows
        Some rows of `SCALING`.
    targets, sizes, orders, common
        See `steps`.

    Raises
    ------
    InputError
        If a size is below 1, or a target has no source or no query, before anything is trained.
    """
    check_rows(rows)
    if any(size < 1 for size in sizes):
        raise InputError("--domains: expected numbers of 1 or more, such as --domains 1,3,6,12")
    todo = steps(corpus, targets, sizes, orders, common)
    about = corpus.about(targets) | {"orders": orders, "common_sources": common}
    about["sizes"] = sorted({step.size for step in todo})
    facts = [corpus.facts(corpus.study(target, [])) for target in targets]
    points = []
    # Equal sources follow each other, so that the models of the targets are shared while they are warm.
    for number, step in enumerate(sorted(todo, key=lambda step: (step.order, step.size)), start=1):
        text = "step %d of %d: %s, order %d, sources: %d"
        logger.info(text, number, len(todo), step.target, step.order, step.size)
        points += _points(corpus, rows, step)
    return ScalingReport(about, facts, points, curve(points))


def curve(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the curve of a `ScalingReport` from its points."""
    frame = pd.DataFrame(
        [
            {name: point[name] for name in ("row", "label", "domains", "order", "interactions")}
            | {metric: np.nan if (ratio := point["ratio"][metric]) is None else ratio for metric in METRICS}
            for point in points
        ]
    )
    found = []
    for (row, label, domains), part in frame.groupby(["row", "label", "domains"], sort=False):
        by_order = []
        for order, own in part.groupby("order"):
            line: dict[str, Any] = {"order": int(order), "interactions": float(own["interactions"].mean())}
            for metric in METRICS:
                line[metric] = _geometric_mean(own[metric].to_numpy())
            by_order.append(line)
        record: dict[str, Any] = {"row": row, "label": label, "domains": int(domains)}
        record["interactions"] = float(np.mean([line["interactions"] for line in by_order]))
        for metric in METRICS:
            values = [line[metric] for line in by_order]
            record[metric] = None if None in values else mean_over_seeds(values)
        found.append(record | {"by_order": by_order})
    return found


def curve_frame(report: ScalingReport) -> pd.DataFrame:
    """Return the curve for `plot_scaling`: ``row, label, metric, order, domains, interactions, ratio``.

    ``order`` is -1 for the mean over the orders.
    """
    lines = []
    for record in report.curve:
        head = {name: record[name] for name in ("row", "label", "domains")}
        for metric in METRICS:
            mean = record[metric]
            line = {"metric": metric, "order": -1, "interactions": record["interactions"]}
            lines.append(head | line | {"ratio": None if mean is None else mean["mean"]})
            for own in record["by_order"]:
                line = {"metric": metric, "order": own["order"], "interactions": own["interactions"]}
                lines.append(head | line | {"ratio": own[metric]})
    return pd.DataFrame(lines).astype({"ratio": float})


def _points(corpus: Corpus, rows: Sequence[Row], step: Step) -> list[dict[str, Any]]:
    """Return the records of our rows at one step."""
    by_row = {
        one["row"]: one for one in records(measured_rows(corpus.study(step.target, step.sources), rows), step.target)
    }
    others = [by_row[row.name] for row in rows if not row.ours]
    head = {"target": step.target, "order": step.order, "domains": step.size, "sources": list(step.sources)}
    head["interactions"] = corpus.num_interactions(step.sources)
    found = []
    for row in (row for row in rows if row.ours):
        record: dict[str, Any] = head | {"row": row.name, "label": row.label, "ratio": {}, "against": {}}
        for metric in METRICS:
            best = max(others, key=lambda one: one[metric]["mean"])
            record[metric] = by_row[row.name][metric]
            mean = best[metric]["mean"]
            record["against"][metric] = {"row": best["row"], "label": best["label"], "mean": mean}
            record["ratio"][metric] = record[metric]["mean"] / mean if mean else None
        found.append(record)
    return found


def _geometric_mean(values: np.ndarray) -> float | None:
    """Return the geometric mean of the values that are not NaN; None without one."""
    kept = values[~np.isnan(values)]
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(kept).mean())) if len(kept) else None

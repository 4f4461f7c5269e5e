"""Figure 3 of the paper: how good each row is after the first 10, 100, … and all samples of the target."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.reproduction.cells import METRICS
from prerec_pyro.reproduction.rows import FLAT, TRAINED, Row
from prerec_pyro.reproduction.study import Study
from prerec_pyro.reproduction.summary import Measured, comparisons, records
from prerec_pyro.reproduction.tables import Report

FIGURE3 = FLAT + TRAINED
_STAGES = {row.name: row.stage for row in FIGURE3}


def sample_sizes(total: int, asked: Sequence[int | None] | None = None) -> list[int]:
    """Return the numbers of training samples to measure at, ascending: 10, 100, … and all.

    Parameters
    ----------
    total
        How many there are.
    asked
        Instead of the powers of ten: these, None for all. Those above `total` are all, too.

    Raises
    ------
    InputError
        If there is none, or a number is less than 1.
    """
    if not total:
        raise InputError(
            "a target has no training user with two events; there is nothing to fine-tune on, leave it out"
        )
    if asked is None:
        asked = [10**power for power in range(1, len(str(total)))] + [None]
    if any(number is not None and number < 1 for number in asked):
        raise InputError("--samples: expected numbers of 1 or more, or all, such as --samples 10,100,all")
    return sorted({total if number is None else min(number, total) for number in asked})


def curves(study: Study, rows: Sequence[Row], samples: Sequence[int | None] | None = None) -> Report:
    """Return every row at every number of samples; those that see none of them once, at 0 samples.

    Records carry ``samples`` and ``is_all``; the best is that among rows with as many samples.

    Parameters
    ----------
    study
        Where.
    rows
        Some of `FIGURE3`.
    samples
        See `sample_sizes`.
    """
    found, compared = [], []
    flat, trained = ([row for row in rows if row.on_target is on_target] for on_target in (False, True))
    for target in study.targets:
        total = study.num_samples(target)
        found += records(_measured(study, flat, target, None), target.name, samples=0, is_all=False)
        for number in sample_sizes(total, samples) if trained else ():
            more = {"samples": number, "is_all": number == total}
            measured = _measured(study, trained, target, None if number == total else number)
            found += records(measured, target.name, **more)
            compared += comparisons(measured, target.name, **more)
    return Report("figure3", study.about(), found, compared)


def curve_frame(report: Report) -> pd.DataFrame:
    """Return what is drawn, all queries: ``target, row, label, stage, samples`` and each metric and its half width."""
    lines = []
    for record in report.rows:
        if record["subset"] == "all":
            line = {name: record[name] for name in ("target", "row", "label", "samples")}
            line |= {"stage": _STAGES[record["row"]], "k_percent": report.about["k_percent"][record["target"]]}
            for metric in METRICS:
                line |= {metric: record[metric]["mean"], f"{metric}_half_width": record[metric]["half_width"]}
            lines.append(line)
    return pd.DataFrame(lines)


def _measured(study: Study, rows: Sequence[Row], target: EncodedDomain, samples: int | None) -> list[Measured]:
    seeds = study.plan.seeds
    return [Measured(row, [study.cell(row, target, seed, samples) for seed in row.seeds(seeds)]) for row in rows]

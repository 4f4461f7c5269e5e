"""Figure 3 of the paper: the metrics of each row after 10, 100, … and all training samples of the target."""

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


def sample_sizes(total: int, sizes: Sequence[int | None] | None = None) -> list[int]:
    """Return the numbers of training samples to measure at, ascending: 10, 100, … and all.

    Parameters
    ----------
    total
        Number of training samples of the target.
    sizes
        Sizes in place of the powers of ten; None stands for all samples, as does any number above `total`.

    Raises
    ------
    InputError
        If the target has no training sample, or a size is less than 1.
    """
    if not total:
        raise InputError(
            "a target has no training user with two events, so there is nothing to fine-tune on; leave it out"
        )
    if sizes is None:
        sizes = [10**power for power in range(1, len(str(total)))] + [None]
    if any(number is not None and number < 1 for number in sizes):
        raise InputError("--samples: expected numbers of 1 or more, or all, such as --samples 10,100,all")
    return sorted({total if number is None else min(number, total) for number in sizes})


def curves(study: Study, rows: Sequence[Row], samples: Sequence[int | None] | None = None) -> Report:
    """Return every row at every number of samples; rows that use no sample of the target are measured once, at 0.

    Records have the fields ``samples`` and ``is_all``. The best row is the best among rows with equal samples.

    Parameters
    ----------
    study
        Study to measure in.
    rows
        Some rows of `FIGURE3`.
    samples
        Sizes; see `sample_sizes`.
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
    """Return the rows for `plot_curves`, on all queries.

    Columns: ``target, row, label, stage, samples, k_percent``, each metric and its ``<metric>_half_width``.
    """
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
    return [Measured(row, [study.cell(row, target, seed, samples) for seed in study.seeds(row)]) for row in rows]

"""Tables 1 and 2 of the paper: zero-shot, and full fine-tuning compared with training from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prerec_pyro.reproduction import markdown
from prerec_pyro.reproduction.rows import Row
from prerec_pyro.reproduction.study import Study
from prerec_pyro.reproduction.summary import Measured, comparisons, records

TITLES = {
    "table1": "Table 1: zero-shot",
    "table2": "Table 2: full fine-tuning",
    "figure3": "Figure 3: incremental fine-tuning",
}


@dataclass(frozen=True)
class Report:
    """Result of a ``reproduce`` command.

    Attributes
    ----------
    name
        Key of `TITLES`.
    about
        Settings behind the numbers, plain JSON.
    rows
        Records; see `summary.records`.
    comparisons
        Comparisons; see `summary.comparisons`.
    """

    name: str
    about: dict[str, Any]
    rows: list[dict[str, Any]]
    comparisons: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {"name": self.name, "about": self.about, "rows": self.rows, "comparisons": self.comparisons}

    def to_markdown(self) -> str:
        """Return the report as Markdown: for each target a table, the best of a column in bold, and comparisons."""
        parts = [f"# {TITLES[self.name]}", markdown.about(self.about)]
        for target in self.about["targets"]:
            rows = [row for row in self.rows if row["target"] == target]
            parts += [f"## {target}", markdown.rows(rows, self.about["k_percent"][target])]
            found = [one for one in self.comparisons if one["target"] == target]
            parts += [markdown.comparisons(found)] if found else []
        return "\n\n".join(parts) + "\n"


def table(study: Study, name: str, rows: Sequence[Row]) -> Report:
    """Return a table: each row on each target with each seed, with all samples of the target.

    Parameters
    ----------
    study
        Study to measure in.
    name
        ``"table1"`` or ``"table2"``.
    rows
        Rows of the table.
    """
    found, compared = [], []
    for target in study.targets:
        seeds = study.plan.seeds
        measured = [Measured(row, [study.cell(row, target, seed) for seed in row.seeds(seeds)]) for row in rows]
        found += records(measured, target.name)
        compared += comparisons(measured, target.name)
    return Report(name, study.about(), found, compared)

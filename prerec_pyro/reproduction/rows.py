"""Rows of the paper's tables: the method of each, and the data it learns from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from prerec_pyro.errors import InputError

Stage = Literal["untrained", "zero-shot", "calibrated", "fine-tuned", "scratch"]


@dataclass(frozen=True)
class Row:
    """A row of a table, or a line of a figure.

    Attributes
    ----------
    name
        Unique name, for ``--methods`` and the names of cells.
    label
        Label in tables. A star means trained from scratch, as in the paper.
    method
        ``"random"``, ``"pop"``, ``"sbert"`` or a trained method.
    stage
        *untrained*; *zero-shot*, trained on the sources; *calibrated*, the same with S estimated from the target's
        log; *fine-tuned*, trained on the sources and then on the target; *scratch*, trained on the target alone.
    ours
        Whether the row is PreRec, to be compared with the best of the other rows.
    """

    name: str
    label: str
    method: str
    stage: Stage
    ours: bool = False

    @property
    def from_sources(self) -> bool:
        """Whether the row needs a model trained on the sources."""
        return self.stage in ("zero-shot", "calibrated", "fine-tuned")

    @property
    def on_target(self) -> bool:
        """Whether the row is trained on samples of the target."""
        return self.stage in ("fine-tuned", "scratch")

    @property
    def from_scratch(self) -> bool:
        """Whether the row is trained on the target alone."""
        return self.stage == "scratch"

    def seeds(self, number: int) -> range:
        """Return the training seeds to measure: a single one if the row is not trained."""
        return range(1 if self.stage == "untrained" else number)


UNTRAINED = (
    Row("random", "Random", "random", "untrained"),
    Row("pop", "POP", "pop", "untrained"),
    Row("sbert", "SBERT", "sbert", "untrained"),
)
ZERO_SHOT = (
    Row("zesrec", "ZESRec", "zesrec", "zero-shot"),
    Row("unisrec", "UniSRec", "unisrec", "zero-shot"),
    Row("prerec_n", "PreRec_n", "prerec_n", "zero-shot"),
    Row("prerec_paper", "PreRec, the paper's graph", "prerec_paper", "zero-shot"),
    Row("prerec", "PreRec", "prerec", "zero-shot", ours=True),
    Row("prerec_calibrated", "PreRec, calibrated", "prerec", "calibrated", ours=True),
)
TRAINED = (
    Row("gru4rec_scratch", "GRU4Rec*", "gru4rec", "scratch"),
    Row("sasrec_scratch", "SASRec*", "sasrec", "scratch"),
    Row("unisrec_fine_tuned", "UniSRec", "unisrec", "fine-tuned"),
    Row("prerec_scratch", "PreRec*", "prerec", "scratch"),
    Row("prerec_fine_tuned", "PreRec", "prerec", "fine-tuned", ours=True),
)
TABLE1 = UNTRAINED + ZERO_SHOT
TABLE2 = UNTRAINED + TRAINED
FLAT = tuple(row for row in TABLE1 if row.name in ("pop", "sbert", "unisrec", "prerec", "prerec_calibrated"))
"""Rows that Fig. 3 draws as horizontal lines: they use no sample of the target."""


def chosen(rows: Sequence[Row], names: Iterable[str] | None) -> tuple[Row, ...]:
    """Return the rows with the given names, in the order of `rows`; None returns all.

    Raises
    ------
    InputError
        If a name belongs to no row.
    """
    if names is None:
        return tuple(rows)
    names = list(names)
    for name in names:
        if name not in [row.name for row in rows]:
            raise InputError(
                f"--methods: {name!r} is no row here; expected some of {', '.join(row.name for row in rows)}"
            )
    return tuple(row for row in rows if row.name in names)

"""Time information of a log: order only, days or finer, and the share of events that tie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.times import SECONDS_PER_DAY


@dataclass(frozen=True)
class TimeKind:
    """Time information of a log.

    Attributes
    ----------
    kind
        *order*: positions only, so popularity has one static window; *days*: all events have the same time of day;
        *times*: finer.
    tied
        Share of the events that share the user and the time with another, the day where only days are known; None for
        *order*. Tied events keep the order of the file.
    """

    kind: Literal["order", "days", "times"]
    tied: float | None

    def __str__(self) -> str:
        if self.tied is None:
            return "order only"
        if not self.tied:
            return self.kind
        share = "under 1" if self.tied < 0.005 else f"{100 * self.tied:.0f}"
        return f"{self.kind}, {share} % tied"

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as plain JSON."""
        return {"kind": self.kind, "tied": self.tied}


def time_kind(domain: Domain) -> TimeKind:
    """Return the time information of a domain's log."""
    if domain.timestamps is None:
        return TimeKind("order", None)
    times, users = domain.timestamps, domain.user_of_event
    # Events lie by user, then by time, so equal ones are neighbours.
    as_next = np.concatenate([(times[1:] == times[:-1]) & (users[1:] == users[:-1]), [False]])
    tied = as_next | np.roll(as_next, 1)
    # Midnight of another time zone is no midnight in UTC.
    same_time = len(np.unique(times % SECONDS_PER_DAY)) <= 1
    kind: Literal["days", "times"] = "days" if same_time else "times"
    return TimeKind(kind, float(tied.mean()) if len(tied) else 0.0)

"""Causal reports as methods of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from prerec_pyro.causal.dial import VALUES, Dial, popularity_dial
from prerec_pyro.causal.effect import Effect, effect_report
from prerec_pyro.causal.measurement.measurement import Measurement, MeasurementOptions
from prerec_pyro.causal.protocol import CausalModel
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain


class CausalMixin:
    """Methods that every `CausalModel` gets."""

    def popularity_dial(
        self: CausalModel,
        domain: Domain | EncodedDomain,
        values: Iterable[float] = VALUES,
        **measurement: Unpack[MeasurementOptions],
    ) -> Dial:
        """Return accuracy and exposure at each stop of the popularity dial: 0 none, 1 observed, 2 doubled.

        See `prerec_pyro.causal.popularity_dial`. `measurement` holds fields of `Measurement`: ``split``,
        ``k_percent``, …
        """
        return popularity_dial(self, domain, values, measurement=Measurement(**measurement))

    def effect_report(
        self: CausalModel,
        domain: Domain | EncodedDomain,
        *,
        as_if: Iterable[str] = (),
        **measurement: Unpack[MeasurementOptions],
    ) -> Effect:
        """Return the effects of D and Z on accuracy, exposure and single users; see `prerec_pyro.causal.effect_report`.

        `as_if` names trained domains: D of the domain is set to theirs. `measurement` holds fields of `Measurement`.
        """
        return effect_report(self, domain, as_if=as_if, measurement=Measurement(**measurement))

"""The causal questions that a model answers itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prerec_pyro.causal.dial import VALUES, Dial, popularity_dial
from prerec_pyro.causal.effect import Effect, effect_report
from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain


class CausalMixin:
    """Methods of every `CausalModel`."""

    def popularity_dial(
        self, domain: Domain | EncodedDomain, values: Iterable[float] = VALUES, **measurement: Any
    ) -> Dial:
        """Return accuracy and exposure as the effect of popularity goes from none, 0, over what it is, 1, to double.

        See `popularity_dial` in causal.dial; `measurement` is what `Measurement` takes: ``split``, ``k_percent``, …
        """
        return popularity_dial(self, domain, values, measurement=Measurement(**measurement))

    def effect_report(self, domain: Domain | EncodedDomain, *, as_if: Iterable[str] = (), **measurement: Any) -> Effect:
        """Return what D and Z do to accuracy, to exposure and to single users; see `effect_report` in causal.effect.

        `as_if` names trained domains whose D the domain is given; `measurement` is what `Measurement` takes.
        """
        return effect_report(self, domain, as_if=as_if, measurement=Measurement(**measurement))

"""Figures of ``diagnose``: calibration, popularity, intervals and chains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from prerec_pyro.inference.posterior.predictive_checks import PredictiveChecks
    from prerec_pyro.inference.posterior.result import Posterior

_MOST_ROWS = 20
_MOST_TRACES = 8


def write_plots(posterior: Posterior, checks: PredictiveChecks, folder: Path) -> None:
    """Write the figures of a posterior as PNG files.

    Parameters
    ----------
    posterior
        Posterior of a domain.
    checks
        Its predictive checks.
    folder
        Folder to write to.
    """
    from prerec_pyro import plots

    plots.save(plots.plot_calibration(*checks.calibration(), checks.num_users), str(folder / "calibration.png"))
    counts = {
        "chosen": checks.chosen_popularity,
        "drawn by the model": checks.drawn_popularity,
        "its first ten": checks.listed_popularity,
    }
    plots.save(plots.plot_popularity_check(counts), str(folder / "popularity.png"))
    if posterior.is_point:
        return
    plots.save(plots.plot_intervals(_panels(posterior)), str(folder / "forest.png"))
    if posterior.method == "nuts":
        names = [name for name in posterior.summary().index if name.startswith("S")]
        site = "S" if names else next(iter(posterior.draws))
        values = posterior.draws[site][..., :_MOST_TRACES].numpy()
        names = names or [f"{site}[{i}]" for i in range(values.shape[-1])]
        plots.save(plots.plot_traces(values, names), str(folder / "trace.png"))


def _panels(posterior: Posterior, most: int = _MOST_ROWS) -> dict[str, pd.DataFrame]:
    """Return title → intervals of one latent variable, at most `most` coordinates: those farthest from 0."""
    import numpy as np

    table = posterior.summary().rename(columns={"5%": "low", "95%": "high"})
    panels = {}
    for site in sorted(posterior.draws, key=lambda site: (site != "S", site)):
        part = table[table.index.str.startswith(f"{site}[")].copy()
        prior = posterior.prior[site].flatten(0, 1).numpy()
        part["prior_low"], part["prior_high"] = np.quantile(prior, [0.05, 0.95], axis=0)
        shown = part
        if len(part) > most:
            shown = part.loc[part["mean"].abs().sort_values(ascending=False).index[:most]]
        unit = "standard deviations between domains" if site == "S" else "latent units"
        selection = f", {len(shown)} largest of {len(part)}" if len(shown) < len(part) else ""
        panels[f"{site} of {posterior.domain}{selection} ({unit})"] = shown
    return panels

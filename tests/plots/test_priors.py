"""Pictures of priors show the numbers of the tables."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from prerec_pyro import plots


def test_prior_predictive_draws_the_prior_and_the_observed_values() -> None:
    curves = pd.DataFrame(
        {"draw": [-1, -1, 0, 0, 1, 1], "percent": [1, 20] * 3, "share": [0.1, 0.5, 0.2, 0.6, 0.4, 0.8]}
    )
    summary = pd.DataFrame({"observed": [0.3, 0.1], "mean": 0.4, "5%": 0.2, "95%": 0.6}, index=["entropy", "repeats"])
    left, right = plots.plot_prior_predictive(curves, summary)
    prior, observed, uniform = left.get_lines()
    np.testing.assert_allclose(prior.get_ydata(), [0.3, 0.7], err_msg="the median of the draws")
    np.testing.assert_allclose(observed.get_ydata(), [0.1, 0.5])
    np.testing.assert_allclose(uniform.get_ydata(), [0.01, 0.2])
    assert [label.get_text() for label in right.get_yticklabels()] == ["entropy", "on seen items"]
    np.testing.assert_allclose(right.get_lines()[1].get_xdata(), summary["observed"])
    plt.close(left.figure)


def test_prior_sensitivity_has_a_row_per_prior_and_a_colour_per_domain() -> None:
    rows = [
        {"prior": prior, "domain": domain, "r_ndcg": value, "overlap": value / 2}
        for value, (prior, domain) in enumerate([("default", "a"), ("default", "b"), ("wide", "a"), ("wide", "b")])
    ]
    left, right = plots.plot_prior_sensitivity(pd.DataFrame(rows))
    assert [label.get_text() for label in left.get_yticklabels()] == ["default", "wide"]
    dots = [line for line in left.get_lines() if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in dots] == [[0, 2], [1, 3]]
    assert len({tuple(line.get_color()) for line in dots}) == 2
    assert right.get_lines()[0].get_xdata().tolist() == [0.0, 1.0]
    plt.close(left.figure)

from __future__ import annotations

import numpy as np
import torch

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.inference.calibration.hyperprior import PRIOR_DOMAINS, fit_hyperprior
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from tests.support.models import DIM, small_encoded, small_graph

ENCODED = small_encoded()
S = torch.tensor([[0.5, -1.0, 2.0, 0.3, -0.6, 0.2], [1.5, 0.5, -0.4, 0.1, 0.4, 1.0]])


def scores(graph, nodes, domain) -> torch.Tensor:
    trained = None if nodes is None else {"D": torch.zeros(2, DIM), "S": nodes}
    plain = InterventionalScorer(graph.eval(), ENCODED, Intervention({}), trained=trained, domain=domain)
    return plain(next(query_batches(ENCODED, np.arange(6)))[0])


def test_trained_domains_score_as_before_and_the_mean_is_where_new_ones_start():
    graph = small_graph()
    before = [scores(graph, S, domain) for domain in (0, 1)]
    mean = scores(graph, S.mean(0, keepdim=True).expand(2, 6), 0)
    moved = fit_hyperprior(graph, S, graph.W_z)
    for domain in (0, 1):
        torch.testing.assert_close(scores(graph, moved, domain), before[domain], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scores(graph, None, 0), mean, rtol=1e-4, atol=1e-5)


def test_the_spread_is_between_the_prior_and_what_was_seen():
    graph = small_graph()
    start = graph.likelihood.spread.clone()
    seen = (S * start - (S * start).mean(0)).square().mean(0).sqrt()
    fit_hyperprior(graph, S, graph.W_z)
    assert (
        (graph.likelihood.spread > torch.minimum(seen, start)) & (graph.likelihood.spread < torch.maximum(seen, start))
    ).all()
    wanted = ((2 * seen**2 + PRIOR_DOMAINS * start**2) / (2 + PRIOR_DOMAINS)).sqrt()
    torch.testing.assert_close(graph.likelihood.spread, wanted)


def test_the_means_move_into_the_parameters_that_S_modifies():
    """S = 0 means afterwards what the mean of the domains meant before."""
    graph = small_graph(graph="extended")
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    nats = (S * graph.likelihood.spread).mean(0)
    fit_hyperprior(graph, S, graph.W_z)
    after = graph.state_dict()
    torch.testing.assert_close(after["f_seq.log_length"], before["f_seq.log_length"] + nats[0])
    torch.testing.assert_close(after["W_z"], before["W_z"] * nats[1].exp())
    torch.testing.assert_close(after["likelihood.w_r"], before["likelihood.w_r"] + nats[2])
    torch.testing.assert_close(after["likelihood.w_o"], before["likelihood.w_o"] + nats[3])
    torch.testing.assert_close(after["interests.log_fading"], before["interests.log_fading"] + nats[4])
    torch.testing.assert_close(after["interests.log_contrast"], before["interests.log_contrast"] + nats[5])
    moved = {"f_seq.log_length", "W_z", "likelihood.w_r", "likelihood.w_o", "likelihood.spread"}
    moved |= {"interests.log_fading", "interests.log_contrast"}
    assert {name for name in before if not torch.equal(before[name], after[name])} == moved

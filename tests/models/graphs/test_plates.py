"""Plates of which every row is there, against Pyro's own."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch

from prerec_pyro.models.graphs.plates import whole_plate


def test_a_site_under_it_is_as_under_a_plain_plate() -> None:
    stacks = []
    for plate in (whole_plate("rows", 4), pyro.plate("rows", 4, dim=-1)):

        def program(plate=plate) -> torch.Tensor:
            with plate, pyro.poutine.scale(scale=0.5):
                return pyro.sample("x", dist.Normal(torch.zeros(4, 2), 1.0).to_event(1))

        torch.manual_seed(0)
        trace = pyro.poutine.trace(program).get_trace()
        site = trace.nodes["x"]
        (frame,) = site["cond_indep_stack"]
        stacks.append((frame.name, frame.dim, frame.size, frame.full_size, site["scale"], float(trace.log_prob_sum())))
    assert stacks[0] == stacks[1]

"""A linear Gaussian model with a posterior in closed form, which every method of inference must reproduce."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn


class LinearGaussian(nn.Module):
    """y ~ Normal(A x, 1), x ~ Normal(0, 1); the posterior of x is a Gaussian in closed form."""

    sites = ("x",)

    def __init__(self, A: Tensor, y: Tensor) -> None:
        super().__init__()
        self.A, self.y = A, y
        self.units = {"x": (torch.zeros(A.shape[1]), torch.ones(A.shape[1]))}

    def latents(self) -> dict[str, Tensor]:
        zero, one = (value.double() for value in self.units["x"])
        to_unit = torch.distributions.AffineTransform(zero, one, event_dim=1).inv
        prior = dist.Normal(torch.zeros(self.A.shape[1], dtype=torch.float64), 1.0).to_event(1)
        return {"x": zero + one * pyro.sample("x_unit", dist.TransformedDistribution(prior, [to_unit]))}

    def forward(self) -> dict[str, Tensor]:
        values = self.latents()
        pyro.sample("y", dist.Normal(self.A @ values["x"], 1.0).to_event(1), obs=self.y)
        return values

    def start(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        zero, one = self.units["x"]
        return {"x_unit": (values["x"] - zero) / one}

    def posterior(self) -> tuple[Tensor, Tensor]:
        covariance = torch.linalg.inv(torch.eye(self.A.shape[1]).double() + self.A.mT @ self.A)
        return covariance @ self.A.mT @ self.y, covariance

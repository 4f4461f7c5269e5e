"""Steps of ``prerec-pyro evaluate`` and of the causal commands."""

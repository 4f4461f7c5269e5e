"""Steps of ``prerec-pyro infer``."""

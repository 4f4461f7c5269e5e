"""Command line of the package: ``prerec-pyro``."""

"""The graphs as Pyro programs."""

"""Commands of ``prerec-pyro``: one module for each, with a click command named ``command``, and parts of two."""

"""The commands of ``prerec-pyro``, one module each."""

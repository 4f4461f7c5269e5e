"""Metrics and the protocol."""

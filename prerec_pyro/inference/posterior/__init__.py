"""Posterior of a domain given its log: inference, diagnostics, files."""

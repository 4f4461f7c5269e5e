"""Drift of a domain: D and S re-estimated on a later part of its log."""

"""Posterior of a domain's latent nodes given its log: inference, diagnostics and files."""

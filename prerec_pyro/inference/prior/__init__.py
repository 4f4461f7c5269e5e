"""Draws from the prior, and prior predictive checks."""

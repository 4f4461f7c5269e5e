"""Distributions of the choice R."""

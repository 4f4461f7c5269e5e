"""Domains, graphs and models that the tests share."""

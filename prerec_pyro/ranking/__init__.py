"""Scores to ranked lists, exact and approximate."""

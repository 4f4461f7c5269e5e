"""Synthetic domains drawn from the causal graph, with their ground truth."""

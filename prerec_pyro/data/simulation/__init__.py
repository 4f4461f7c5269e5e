"""Synthetic domains drawn from the graph, with the ground truth beside them."""

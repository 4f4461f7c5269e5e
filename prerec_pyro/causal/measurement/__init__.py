"""Accuracy and exposure of causal answers, measured on the queries of a domain."""

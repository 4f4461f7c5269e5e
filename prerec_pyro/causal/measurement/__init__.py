"""Accuracy and exposure of interventions, measured on the queries of a domain."""

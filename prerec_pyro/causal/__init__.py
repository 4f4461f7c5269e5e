"""Causal questions to a trained model: dials, effects, uncertainty, drift."""

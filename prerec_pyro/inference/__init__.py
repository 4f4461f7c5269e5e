"""Guides, the training loop, interventions and ranking."""

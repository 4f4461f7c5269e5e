"""Interventions by ``do``: what can be asked, and the scores under it."""

"""Trained models behind one set of verbs: fit, recommend, score, save, load."""

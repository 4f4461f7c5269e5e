"""Batches of queries, with their histories, windows and popularity levels."""

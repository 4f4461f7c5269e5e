"""Batches of queries, and the histories, windows and popularity levels that they hold."""

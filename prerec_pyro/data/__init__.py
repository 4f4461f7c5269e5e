"""Domains: tables of interactions and items, from files to batches."""

"""Guides of MAP inference and the reparameterisations that they rest on."""

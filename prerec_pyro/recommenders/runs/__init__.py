"""Training runs as values and as files."""

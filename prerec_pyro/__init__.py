"""Pre-trained causal recommendation."""

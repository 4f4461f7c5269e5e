"""From scores to ranked lists, exact and approximate."""

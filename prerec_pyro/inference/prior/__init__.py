"""Prior draws, prior predictive checks and domains drawn from the prior."""

"""The graph of Fig. 1 and its networks."""

"""Models that ship with the package, portable copies of a model, and model cards."""

"""The training loop, its batches, recipes and states."""

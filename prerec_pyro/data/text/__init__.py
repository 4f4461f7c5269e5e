"""Text embeddings: the encoder, its files, the cache, whitening."""

"""Text embeddings: encoders and their files, the cache, and whitening."""

"""Lists for many users: a map over Arrow batches, shards in files, and workers of Ray."""

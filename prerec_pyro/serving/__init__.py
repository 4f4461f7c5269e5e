"""Lists for more users than one process is to serve: Arrow batches in and out, shards, Ray."""

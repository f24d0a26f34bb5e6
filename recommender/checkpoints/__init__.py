"""The state of a shard in a directory or an object store."""

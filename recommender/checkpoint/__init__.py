"""A shard's state and offset, saved and loaded."""

"""Who rated what, in the log's order: the state that the models read."""

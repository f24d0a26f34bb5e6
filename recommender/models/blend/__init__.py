"""The default model: others and cheap features, mixed with weights that the stream teaches."""

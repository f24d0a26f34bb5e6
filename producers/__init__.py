"""Programs that feed ratings to the worker's topics."""

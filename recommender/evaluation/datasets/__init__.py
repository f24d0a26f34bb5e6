"""Public data sets: found, fetched and read."""

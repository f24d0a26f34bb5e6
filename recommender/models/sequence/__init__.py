"""Sequence neighbours, and what they know of a single item."""

"""Surprise's KNNBaseline, adapting to each rating at once."""

"""A streaming recommendation worker on Kafka that learns from every rating as it arrives."""

__version__ = "0.1.0"

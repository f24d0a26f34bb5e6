"""Kafka: its topics, and the worker's consumer and producer."""

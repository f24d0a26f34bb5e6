"""A local Apache Kafka: for the demo, the tests and the benchmarks."""

from recommender.kafka.local.broker import LocalBroker

__all__ = ["LocalBroker"]

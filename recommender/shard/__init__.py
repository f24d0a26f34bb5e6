"""One recommender: learn, recommend. Knows no Kafka."""

"""Ask for recommendations over Kafka, from any program."""

from recommender.client.client import *  # noqa: F403
from recommender.client.client import __all__ as __all__

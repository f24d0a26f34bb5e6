"""Hands an agent a partition's fetched records as one batch.

A stock Faust agent costs two tasks and some ten scheduled callbacks for every record. Here the records that
a fetch brought for a partition travel as a single message: the same agents, rebalances, timers and pages, at
some fifty times the rate.
"""

from __future__ import annotations

from typing import Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import AppT
from yarl import URL

from recommender.kafka.addresses import split
from recommender.worker.transport.consumer import Consumer
from recommender.worker.transport.fetched_records import read_past_errors
from recommender.worker.transport.producer import Producer


class Transport(driver.Transport):
    """Faust's transport, with the consumer and the producer of this package."""

    Consumer = Consumer
    Producer = Producer


def set_transport(app: AppT, broker: str, *unwrapped: str) -> None:
    """Give an app the transport that this module describes; before any topic of it is made.

    Parameters
    ----------
    app : faust.App
    broker : str
        Bootstrap servers, separated by commas.
    *unwrapped : str
        The topics whose records come as the client's parser makes them, see
        `recommender.worker.transport.fetched_records`.
    """
    read_past_errors(*unwrapped)
    app.transport = cast(Any, Transport)(urls(broker), app)


def urls(broker: str) -> list[URL]:
    """Bootstrap servers as Faust wants them."""
    return [URL(f"kafka://{each}") for each in split(broker)]

"""Hands an agent a partition's fetched records as one batch, from the offset that we say.

A stock Faust agent costs two tasks and some ten scheduled callbacks for every record. Here the records that
a fetch brought for a partition travel as a single message: the same agents, rebalances, timers and pages,
at some fifty times the rate. The consumer makes the batches, and asks the worker where reading starts; see
`recommender.worker.transport.consumer`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import AppT
from yarl import URL

from recommender.worker.demand import Demand
from recommender.worker.transport import consumer
from recommender.worker.transport.consumer import Positions
from recommender.worker.transport.producer import Producer


def set_transport(
    app: AppT,
    broker: str,
    positions: Positions,
    bare: Collection[str] = (),
    demand: Demand | None = None,
    max_age: float = 60.0,
) -> None:
    """Give an app the transport that this module describes; before any topic of it is made.

    Parameters
    ----------
    app : faust.App
    broker : str
        Bootstrap servers, separated by commas.
    positions : function
        Called with the partitions of one number each time reading them starts or restarts.
    bare : collection of str
        Topics whose records need not know their topic and partition, see `unwrapped_records`.
    demand : Demand, optional
        Told of the records of all other topics.
    max_age : float
        How old these may be where nothing is committed, in seconds.
    """

    class Consumer(consumer.Consumer):
        pass

    Consumer.positions = staticmethod(positions)
    Consumer.bare = bare
    Consumer.demand = demand or Demand()
    Consumer.max_age = max_age

    class Transport(driver.Transport):
        pass

    Transport.Consumer = Consumer
    Transport.Producer = Producer
    app.transport = cast(Any, Transport)(urls(broker), app)


def urls(broker: str) -> list[URL]:
    """Bootstrap servers as Faust wants them."""
    return [URL(f"kafka://{each}") for each in split(broker)]


def split(text: str) -> list[str]:
    """The parts of a list separated by commas, without blanks."""
    return [part.strip() for part in text.split(",") if part.strip()]

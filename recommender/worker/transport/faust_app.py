"""The Faust app of a worker, and the order in which its services start."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import faust
from faust.app.base import BootStrategy
from mode.types import ServiceT

from recommender.errors import RecommenderError
from recommender.worker.transport.web_server import WebServer


class Boot(BootStrategy):
    """Starts following before Faust's consumer, which joins the group, and answering after that."""

    def server(self) -> Iterable[ServiceT]:
        """The services in the order in which they start."""
        app: Any = self.app
        return itertools.chain(
            self.sensors(),
            self.kafka_producer(),
            self.web_server(),
            app.first,
            self.kafka_consumer(),
            self.agents(),
            self.kafka_conductor(),
            self.tables(),
            app.last,
        )


class WorkerApp(faust.App):
    """A Faust app with services next to it.

    Attributes
    ----------
    failure : RecommenderError or None
        Why it stopped, if it was for something that a person has to fix.
    first, last : list of mode.Service
        What starts before Faust joins its group, and what starts after all else.
    """

    logger = logging.getLogger("faust.app")
    BootStrategy = Boot

    def __init__(self, *args: Any, **options: Any) -> None:
        self.failure: RecommenderError | None = None
        self.first: list[ServiceT] = []
        self.last: list[ServiceT] = []
        super().__init__(*args, **options)

    def _create_directories(self) -> None:
        """None: Faust's are for tables, and we have none."""

    def _new_web(self) -> Any:
        return WebServer(self)

    def refuse(self, error: RecommenderError) -> None:
        """Stop; the caller says why."""
        self.failure = error

    def repeat(self, name: str, seconds: float, *works: Callable[[], Awaitable[object]]) -> None:
        """Do work again and again while this runs, `seconds` apart.

        An error that a person has to fix ends it.
        """

        async def repeat() -> None:
            while not self.should_stop:
                await self.sleep(seconds)
                for work in works:
                    try:
                        await work()
                    except RecommenderError as error:
                        self.refuse(error)
                        raise

        repeat.__name__ = repeat.__qualname__ = name
        self.task(repeat)

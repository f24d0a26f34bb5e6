"""Writes the recommendations log: what was shown to whom."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka.errors import InvalidTimestampError

from recommender.kafka.refusals import passes
from recommender.messages import recommendations_log
from recommender.messages.ratings import MAX_TIMESTAMP
from recommender.messages.recommendations_log import LoggedPlace, LoggedRecommendation
from recommender.messages.records import Location, Outgoing, Record, Send
from recommender.messages.responses import Response

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogLimits:
    """The limits after which an entry is sent again, and is given up.

    Attributes
    ----------
    retry_seconds : float
        From one attempt to the next.
    patience_seconds : float
        An entry that Kafka has not taken in this time is given up. Kafka's own absence is shorter, or replies
        wait as well.
    waiting : int
        Entries that wait for Kafka at once; more are given up.
    """

    retry_seconds: float = 1.0
    patience_seconds: float = 120.0
    waiting: int = 10_000


class LogWriter:
    """Writes what was shown, after it was shown.

    The reply goes first: a log that is away must not keep it back, and what reached no user must not be in
    the log. The request counts as done once both have arrived. So after a crash in between it is answered
    again, the same, and logged under the same name, which counts once.

    Parameters
    ----------
    send : Send
    topic : str
    experiment : str
    logged : function, optional
        Called for every record, with True if Kafka has it.
    limits : LogLimits
    """

    def __init__(
        self,
        send: Send,
        topic: str,
        experiment: str,
        logged: Callable[[bool], None] = lambda arrived: None,
        limits: LogLimits | None = None,
    ) -> None:
        self._limits = limits or LogLimits()
        self._send = send
        self._topic = topic
        self._experiment = experiment
        self._logged = logged
        self._waiting = 0
        self._failing = False

    async def write(self, record: Record, identity: bytes, response: Response) -> None:
        """Log a response to a user, until Kafka has it or it is given up; never raises.

        Parameters
        ----------
        record : Record
            The request's.
        identity : bytes
            What tells the request from others.
        response : Response
        """
        if self._waiting >= self._limits.waiting:
            self._give_up(record, f"{self._limits.waiting} others wait already")
            return
        self._waiting += 1
        try:
            await self._until_taken(self._outgoing(record, identity, response))
        except Exception as error:
            self._give_up(record, f"{type(error).__name__}: {error}")
        else:
            self._logged(True)
            if self._failing:
                logger.warning("recommendations are logged again")
                self._failing = False
        finally:
            self._waiting -= 1

    async def _until_taken(self, outgoing: Outgoing) -> None:
        # Once it was waited for in vain, one attempt shows whether it is back: a request is open that long.
        until = time.monotonic() + (0.0 if self._failing else self._limits.patience_seconds)
        while True:
            try:
                await (await self._send(self._topic, outgoing))
                return
            except InvalidTimestampError:
                if outgoing.timestamp < 0:
                    raise
                # The log takes no record of that time. The entry tells it all the same.
                outgoing = outgoing._replace(timestamp=-1)
            except Exception as error:
                if not passes(error) or time.monotonic() >= until:
                    raise
                await asyncio.sleep(self._limits.retry_seconds)

    def _outgoing(self, record: Record, identity: bytes, response: Response) -> Outgoing:
        assert response.user is not None
        # The request's own time, so that an answer that is given again is logged the same; if it has one.
        said = 0 <= record.timestamp <= MAX_TIMESTAMP * 1000
        milliseconds = record.timestamp if said else int(time.time() * 1000)
        entry = LoggedRecommendation(
            user=response.user,
            request=request_name(identity),
            experiment=self._experiment,
            arm=response.arm,
            model=response.model,
            timestamp=milliseconds / 1000,
            items=[
                LoggedPlace(each.item, each.source, position) for position, each in enumerate(response.items)
            ],
            forced=response.forced,
        )
        # By its key it goes to the user's own partition, wherever the request was.
        return Outgoing(None, response.user.encode(), entry.encode(), milliseconds, [])

    def _give_up(self, record: Record, why: str) -> None:
        if not self._failing:
            logger.error(
                "%s was answered, but cannot be logged to %s: %s; the report will lack it and "
                "others until this is fixed",
                Location.of(record),
                self._topic,
                why,
            )
        self._failing = True
        self._logged(False)


def request_name(identity: bytes) -> str:
    """A request's identity as text: as it is where it is UTF-8, else in hexadecimal; a long one's hash."""
    try:
        name = identity.decode()
    except UnicodeDecodeError:
        name = identity.hex()
    if len(name) <= recommendations_log.MAX_NAME:
        return name
    return hashlib.blake2b(identity, digest_size=16).hexdigest()

"""The worker's log: one line an event, as text or JSON; a broker that is away is reported once."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from recommender.errors import RecommenderError

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"

#: Loggers of libraries that repeat themselves many times a second while the broker is away.
NOISY = ("aiokafka", "faust", "mode", "kafka")
#: What they say of a broker that is away, or not yet quite there. `broker_watch` says it once.
PASSING = re.compile(
    r"Unable connect|Unable to (connect|(request|update) metadata)|No broker metadata|Connect attempt"
    r"|connection lost"
    r"|Group Coordinator Request failed|Failed fetch messages|Failed to reconnect|Heartbeat failed"
    r"|Got error produce response|Bootstrap connection|Error sending|Marking the coordinator dead"
    r"|Ignoring missing topic|not found in cluster metadata|is not a valid topic name"
    r"|OffsetCommit failed .* will rejoin|performing seek when flow not active|Missing sensor state",
    re.IGNORECASE,
)
#: A commit that took too long was left alone; how it ended is of no interest any more.
ABANDONED = "GroupCoordinator._do_commit_offsets()"
#: Stands in the log behind the error itself. An error that a person has to fix ends as one sentence.
REPEATED = "[^Worker]: We experienced a crash!"
#: Of these no traceback is shown: whatever was cancelled is not what failed.
SAID_ELSEWHERE = (RecommenderError, asyncio.CancelledError)
#: Of each of their messages at most one in this many seconds is let through.
QUIET_SECONDS = 60.0


class Thinned(logging.Filter):
    """Lets each message of a library through once in a while, and says how many it held back."""

    def __init__(
        self,
        least: int = logging.WARNING,
        seconds: float = QUIET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._least = least
        self._seconds, self._clock = seconds, clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True if a record is shown."""
        if record.name == "asyncio" and ABANDONED in record.getMessage():
            return False
        if not record.name.startswith(NOISY):
            return True
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, SAID_ELSEWHERE) or record.getMessage().startswith(REPEATED):
            return False
        if record.levelno < self._least or (
            self._least > logging.DEBUG and PASSING.search(record.getMessage())
        ):
            return False
        key = (record.name, str(record.msg)[:60])
        now = self._clock()
        shown, held_back = self._seen.get(key, (-self._seconds, 0))
        if now - shown < self._seconds:
            self._seen[key] = (shown, held_back + 1)
            return False
        if held_back:
            record.msg = f"{record.getMessage()} (and {held_back} more like it)"
            record.args = ()
        self._seen[key] = (now, 0)
        return True


class JsonLines(logging.Formatter):
    """Formats each record as one line of JSON, tracebacks and all, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        # What is no text, as half a surrogate pair, must not cost the line.
        plain = {name: value.encode("utf-8", "replace").decode() for name, value in told.items()}
        return orjson.dumps(plain).decode()


def configure(level: str, form: str = "text") -> None:
    """Log to standard error; libraries only from warnings on, unless everything is asked for.

    Parameters
    ----------
    level : str
    form : str
        ``text`` or ``json``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(FORMAT))
    # On the handler and not on the loggers: Faust sets its loggers' levels again when it starts.
    handler.addFilter(Thinned(logging.DEBUG if level == "debug" else logging.WARNING))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())

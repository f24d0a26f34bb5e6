"""Dead letters that their topic does not take as they are: what is written instead.

A letter is its record's key, value, headers and timestamp, untouched, with headers of ours after them. What
one topic took may be too much for another: a record that was compressed comes out larger, and topics differ
in what they ask of sizes, keys and times. What a letter lacks then, its headers tell.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable

from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError, RecordListTooLargeError

from recommender.kafka.refusals import KEYLESS
from recommender.messages.records import Outgoing

logger = logging.getLogger(__name__)

PREFIX = "__connect.errors."
#: The first of our own headers.
TOPIC = PREFIX + "topic"
#: How long nothing is said of more letters that are refused, in seconds.
QUIET_SECONDS = 60.0

Headers = list[tuple[str, bytes]]


class LesserLetters:
    """Says what to write instead of letters that are refused.

    Parameters
    ----------
    clock : function
        The time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until = -math.inf
        self._untold = 0

    def __call__(self, letter: Outgoing, error: Exception) -> Outgoing | None:
        """The next best that can be written of a letter.

        Parameters
        ----------
        letter : Outgoing
        error : Exception
            What the broker, or the client, said of it.

        Returns
        -------
        Outgoing or None
            None where there is nothing to take away that the error speaks of.
        """
        less = lesser(letter, error)
        if less is not None:
            self._log(letter, less, error)
        return less

    def _log(self, letter: Outgoing, less: Outgoing, error: Exception) -> None:
        """Log the first, and then at most one a minute: all may be like it."""
        if self._clock() < self._quiet_until:
            self._untold += 1
            return
        before, ours = {name for name, _ in letter.headers}, _ours(letter)
        added = [name for name, _ in less.headers if name not in before]
        logger.warning(
            "%s[%s] offset %s: its dead letter is refused as it is (%s) and is written with %s; "
            "%d others since this was last said",
            ours["topic"],
            ours["partition"],
            ours["offset"],
            error,
            ", ".join(added) or "a key",
            self._untold,
        )
        self._quiet_until, self._untold = self._clock() + QUIET_SECONDS, 0


def lesser(letter: Outgoing, error: Exception) -> Outgoing | None:
    """The letter without what an error speaks of; None where there is no such thing."""
    if isinstance(error, InvalidTimestampError):
        return _without_time(letter)
    if isinstance(error, (MessageSizeTooLargeError, RecordListTooLargeError)):
        return _without_value(letter) or _without_key_and_headers(letter)
    if isinstance(error, KEYLESS):
        return _with_a_key(letter)
    return None


def _without_time(letter: Outgoing) -> Outgoing | None:
    """The letter with the time at which it is written."""
    if letter.timestamp < 0:
        return None
    told = (PREFIX + "timestamp", b"%d" % letter.timestamp)
    return letter._replace(timestamp=-1, headers=[*letter.headers, told])


def _without_value(letter: Outgoing) -> Outgoing | None:
    if letter.value is None:
        return None
    # A record that is null in both is not for every client.
    key = b"" if letter.key is None else letter.key
    return letter._replace(key=key, value=None, headers=[*letter.headers, *_about("value", letter.value)])


def _without_key_and_headers(letter: Outgoing) -> Outgoing | None:
    """The letter with nothing but our own headers; its key is its record's place."""
    first = _first_of_ours(letter.headers)
    place = _place(letter)
    if first == 0 and letter.key == place.encode():
        return None
    told: Headers = [(PREFIX + "headers.count", b"%d" % first)]
    if letter.key is not None:
        told += _about("key", letter.key)
    return letter._replace(key=place.encode(), headers=[*letter.headers[first:], *told])


def _with_a_key(letter: Outgoing) -> Outgoing | None:
    return None if letter.key is not None else letter._replace(key=_place(letter).encode())


def _about(part: str, content: bytes) -> Headers:
    """The headers about a part of the record that is not there."""
    digest = hashlib.sha256(content).hexdigest().encode()
    return [(f"{PREFIX}{part}.length", b"%d" % len(content)), (f"{PREFIX}{part}.sha256", digest)]


def _first_of_ours(headers: Headers) -> int:
    """The index at which our own headers begin; a letter that was replayed and failed again has two sets."""
    return max((place for place, (name, _) in enumerate(headers) if name == TOPIC), default=len(headers))


def _ours(letter: Outgoing) -> dict[str, str]:
    """The values of our own headers."""
    ours = letter.headers[_first_of_ours(letter.headers) :]
    return {name.removeprefix(PREFIX): text.decode(errors="replace") for name, text in ours}


def _place(letter: Outgoing) -> str:
    """The partition and offset of the letter's record."""
    ours = _ours(letter)
    return f"{ours['partition']}:{ours['offset']}"

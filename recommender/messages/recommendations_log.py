"""The recommendations log: what was shown to whom, one record of its topic for each answered request.

A record is JSON: ``{"user": "42", "request": "7f9c", "experiment": "default", "arm": "cooc", "model": "cooc",
"timestamp": 881250949.0, "items": [{"item": "50", "source": "exploit", "position": 0}]}``. Its key is the
user, so a user's recommendations and ratings have partitions of one number. ``"forced": true`` is there where
the request named the arm. Unknown fields are ignored.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from recommender.messages.ratings import MAX_ID_BYTES, MAX_TIMESTAMP, BadMessage, refuse_depth
from recommender.messages.requests import MAX_N

#: Names of requests, experiments, arms and models may be made of several ids.
MAX_NAME = 4 * MAX_ID_BYTES
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]


class LoggedPlace(msgspec.Struct, frozen=True, gc=False):
    """One place of a list that was shown.

    Attributes
    ----------
    item : str
    source : str
        ``exploit`` or ``explore``.
    position : int
        From 0.
    """

    item: Identifier
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    position: Annotated[int, msgspec.Meta(ge=0, le=MAX_N)]


class LoggedRecommendation(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One list that was shown to a user.

    Attributes
    ----------
    user : str
    request : str
        Tells a user's lists apart. One answered twice, as after a crash, has the same.
    experiment, arm, model : str
    timestamp : float
        When, in seconds since 1970.
    items : list of LoggedPlace
    forced : bool
        The request named the arm: no experiment gave it to the user.
    """

    user: Identifier
    request: Name
    experiment: Name
    arm: Name
    model: Name
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=MAX_TIMESTAMP)]
    items: Annotated[list[LoggedPlace], msgspec.Meta(max_length=MAX_N)]
    forced: bool = False

    def encode(self) -> bytes:
        """The value of its record."""
        return _encoder.encode(self)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(LoggedRecommendation)


def decode(value: bytes | None) -> LoggedRecommendation:
    """Decode the list that was shown from a record's value.

    Raises
    ------
    BadMessage
        It is no such record; the text names the field and what was expected.
    """
    if value is None:
        raise BadMessage("the value is null: expected a logged recommendation")
    refuse_depth(value)
    try:
        return _decoder.decode(value)
    except UnicodeDecodeError as error:
        raise BadMessage(f"the value is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise BadMessage("the value is nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise BadMessage(str(error)) from None

"""Records of a ratings topic as anybody may write them, and of each what must become of it."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from recommender.messages.ratings import MAX_RATING_BYTES, MAX_TIMESTAMP, BadMessage, RatingDecoder
from tests.chaos.fuzz import mutated

USERS, ITEMS = 300, 400
LOW, HIGH = 0.5, 5.0
LATEST = 2**63 - 1
#: The largest value, for a topic that takes batches of 1,048,588 bytes.
LARGEST = 1_040_000
#: With a codec a value may be larger than what the topic takes.
INFLATED = 3_000_000
BAD_NAME = b"\xff\xfe"
PACKED = (b"content-type", b"application/msgpack")
Headers = tuple[tuple[bytes, bytes | None], ...]
Body = dict[str, Any]

#: None of them changes what a record means: they are put before its own.
HARMLESS: tuple[tuple[bytes, bytes | None], ...] = (
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"trace", b"\x00\xff"),
    (b"trace", None),
    (b"trace", b""),
    (b"", b"no name"),
    ("größe".encode(), b"1"),
    (b"large", b"x" * 20_000),
    (b"recommender-forwarded", b"0:1"),
    (b"__TypeId__", b"com.example.Rating"),
    # A dead letter that somebody wrote back.
    (b"__connect.errors.topic", b"elsewhere"),
    (b"__connect.errors.partition", b"77"),
    (b"__connect.errors.offset", b"x"),
)
#: Of several the last one that is not null counts, and only MessagePack's names mean something.
JSON_TYPES: tuple[Headers, ...] = (
    ((b"content-type", b"application/json"),),
    ((b"content-type", b"text/plain"),),
    ((b"Content-Type", b"\xff"),),
    ((b"content-type", None),),
    (PACKED, (b"content-type", b"application/json")),
    ((b"content-type", b""), (b"content-type", None)),
)
PACKED_TYPES: tuple[Headers, ...] = (
    (PACKED,),
    ((b"Content-Type", b"application/x-msgpack; charset=binary"),),
    ((b"content-type", b"application/json"), PACKED),
    (PACKED, (b"content-type", None)),
)
OFF_SCALE: tuple[Any, ...] = (0, 5.5, -1, 99, "5", True, [5], {"value": 5}, 10**30)
#: In milliseconds: none, unset, before 1970, seconds by mistake, the year 5138, the last there is.
ODD_TIMES = (-1, 0, 1, -5, 1_700_000_000, 99_999_999_999_999, LATEST)


@dataclass(frozen=True, slots=True)
class Wild:
    """A record, and what must become of it where it is not taken back.

    Attributes
    ----------
    kind : str
    value, key : bytes or None
    headers : Headers
    rating : (str, str, float) or None
        User, item and rating, where NaN withdraws; None where it must become a dead letter.
    timestamp : int
        Its record's, in milliseconds.
    told : float
        The rating's own time; NaN where it has none.
    raw : bool
        Clients do not write such records.
    """

    kind: str
    value: bytes | None
    headers: Headers
    rating: tuple[str, str, float] | None
    told: float = math.nan
    key: bytes | None = None
    timestamp: int = 0
    raw: bool = False

    @property
    def time(self) -> float:
        """When the rating was given; NaN where nobody says."""
        if not math.isnan(self.told):
            return self.told
        seconds = self.timestamp / 1000
        return seconds if 0 <= seconds <= MAX_TIMESTAMP else math.nan


def _bad(kind: str, value: bytes | None, headers: Headers = ()) -> Wild:
    return Wild(kind, value, headers, None)


class Nature:
    """Makes records of all kinds.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._decoder = RatingDecoder(LOW, HIGH)
        self._now = int(time.time() * 1000)
        self._last: Wild | None = None
        kinds: dict[Callable[[], Wild], float] = {
            self._plain: 45,
            self._packed: 12,
            self._withdrawn: 5,
            self._other_fields: 5,
            self._without_time: 5,
            self._padded: 0.3,
            self._mutated: 14,
            self._off_scale: 3,
            self._in_milliseconds: 2,
            self._enveloped: 3,
            self._wrong_type: 2,
            self._nothing: 2,
            self._large: 0.05,
            self._bad_id: 1.5,
        }
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def record(self, *, raw: bool, compressed: bool) -> Wild:
        """Make the next record.

        Parameters
        ----------
        raw : bool
            Also what only batches made by hand can hold.
        compressed : bool
            Also what is larger than a topic takes.
        """
        draw, last = self._draw, self._last
        if draw.random() < 0.03 and last is not None and not last.raw and len(last.value or b"") < LARGEST:
            return replace(last, kind="duplicate")
        if compressed and draw.random() < 0.0003:
            made = self._inflated()
        else:
            made = draw.choices(self._kinds, self._weights)[0]()
        headers = made.headers
        if draw.random() < 0.1:
            headers = (*draw.choices(HARMLESS, k=draw.randint(1, 3)), *headers)
        self._now += draw.randrange(3)
        made = replace(made, key=self._key(), headers=headers, timestamp=self._now)
        if draw.random() < 0.02:
            made = replace(made, timestamp=draw.choice([each for each in ODD_TIMES if raw or each > 0]))
        if raw and draw.random() < 0.1:
            place = draw.randint(0, len(headers))
            headers = (*headers[:place], (BAD_NAME, b"x"), *headers[place:])
            made = replace(made, kind="bad header name", headers=headers, rating=None, raw=True)
        self._last = replace(made, raw=made.raw or made.timestamp <= 0)
        return made

    def _key(self) -> bytes | None:
        """Mostly a user, at times none, an empty one, bytes or far too much."""
        draw = self._draw
        match draw.randrange(12):
            case 0:
                return None
            case 1:
                return b""
            case 2:
                return draw.randbytes(draw.randint(1, 40))
            case 3 if draw.random() < 0.02:
                return draw.randbytes(draw.randint(1000, 100_000))
        return b"u%d" % draw.randrange(USERS)

    def _body(self) -> Body:
        draw = self._draw
        user = draw.choice([f"u{draw.randrange(USERS)}"] * 8 + [draw.randrange(USERS), "größe \U0001f600"])
        item = draw.choice([f"i{draw.randrange(ITEMS)}"] * 8 + [-draw.randrange(9), 'a "quoted"\n\\id'])
        rating = draw.choice([0.5, 1, 2, 2.5, 3, 4, 4.75, 5])
        return {"user": user, "item": item, "rating": rating, "timestamp": 1_000_000_000 + self._now % 10**8}

    def _text(self, body: Body) -> bytes:
        spaced = self._draw.random() < 0.5
        return json.dumps(body, ensure_ascii=spaced, separators=None if spaced else (",", ":")).encode()

    def _valid(
        self, kind: str, body: Body, value: bytes | None = None, headers: Headers | None = None
    ) -> Wild:
        if headers is None:
            headers = self._draw.choice(JSON_TYPES) if self._draw.random() < 0.1 else ()
        rating, told = body["rating"], body.get("timestamp")
        learned = str(body["user"]), str(body["item"]), math.nan if rating is None else float(rating)
        return Wild(
            kind, value or self._text(body), headers, learned, math.nan if told is None else float(told)
        )

    def _plain(self) -> Wild:
        return self._valid("plain", self._body())

    def _packed(self) -> Wild:
        body = self._body()
        return self._valid("packed", body, msgspec.msgpack.encode(body), self._draw.choice(PACKED_TYPES))

    def _withdrawn(self) -> Wild:
        return self._valid("withdrawal", self._body() | {"rating": None})

    def _other_fields(self) -> Wild:
        more = {
            "note": "x" * self._draw.randrange(2000),
            "tags": [1, {"user": "nobody"}],
            "User": 7,
            "": None,
        }
        names = self._draw.sample(sorted(more), self._draw.randint(1, len(more)))
        fields = list((self._body() | {each: more[each] for each in names}).items())
        self._draw.shuffle(fields)
        return self._valid("other fields", dict(fields))

    def _without_time(self) -> Wild:
        body = self._body()
        if self._draw.random() < 0.5:
            del body["timestamp"]
        else:
            body["timestamp"] = None
        return self._valid("without time", body)

    def _padded(self) -> Wild:
        """To the largest size or one more."""
        body, size = self._body(), MAX_RATING_BYTES + self._draw.randint(0, 1)
        value = self._text(body).ljust(size)
        return self._valid("padded", body, value) if size == MAX_RATING_BYTES else _bad("padded", value)

    def _mutated(self) -> Wild:
        """What the bytes are then, the decoder of single records says."""
        made = self._packed() if self._draw.random() < 0.2 else self._plain()
        value = mutated(made.value or b"", self._draw)
        try:
            rating = self._decoder.decode(value, [(name.decode(), each) for name, each in made.headers])  # type: ignore[misc]
        except BadMessage:
            return _bad("mutated", value, made.headers)
        return self._valid("mutated", rating._asdict(), value, made.headers)

    def _off_scale(self) -> Wild:
        return _bad("off the scale", self._text(self._body() | {"rating": self._draw.choice(OFF_SCALE)}))

    def _in_milliseconds(self) -> Wild:
        unit = self._draw.choice([10**3, 10**6, 10**9, -1])
        return _bad("time in other units", self._text(self._body() | {"timestamp": 1_700_000_000 * unit}))

    def _enveloped(self) -> Wild:
        body = self._body()
        cloud = {"specversion": "1.0", "id": "1", "source": "/", "type": "rated", "data": body}
        connect = {"schema": {"type": "struct", "fields": []}, "payload": body}
        change = {"before": None, "after": body, "op": "c", "ts_ms": self._now}
        value = self._draw.choice(
            [
                b"\0\0\0\0\x07" + self._text(body),
                b"\0\0\0\0\x07\x02\x04u1\x04i1" + self._draw.randbytes(8),
                *(self._text(each) for each in (cloud, connect, change, {"payload": change})),
                json.dumps(json.dumps(body)).encode(),
                b"[" + self._text(body) + b"]",
            ]
        )
        return _bad("envelope", value)

    def _wrong_type(self) -> Wild:
        if self._draw.random() < 0.5:
            return _bad("wrong type", self._text(self._body()), self._draw.choice(PACKED_TYPES))
        packed = msgspec.msgpack.encode(self._body())
        return _bad("wrong type", packed, self._draw.choice(((), *JSON_TYPES)))

    def _nothing(self) -> Wild:
        value = self._draw.choice([None, b"", b" ", b"null", b"{}", b"[]", b"\x00", b"\xff\xfe", b"u1,i1,5"])
        return _bad("nothing", value, self._draw.choice([(), (), (PACKED,)]))

    def _large(self) -> Wild:
        size = self._draw.randint(MAX_RATING_BYTES + 1, LARGEST - 200_000)
        return _bad("large", self._draw.randbytes(size))

    def _inflated(self) -> Wild:
        """A rating that is too large for any topic but for its codec."""
        value = self._text(self._body()).ljust(self._draw.randint(LARGEST, INFLATED))
        return _bad("inflated", value)

    def _bad_id(self) -> Wild:
        wrong = self._draw.choice([None, "", 1.5, "x" * 257, "ü" * 129, 10**300, ["u1"], False])
        body = self._body() | {self._draw.choice(["user", "item"]): wrong}
        if self._draw.random() < 0.3:
            del body[self._draw.choice(["user", "item", "rating"])]
        elif self._draw.random() < 0.2:
            return _bad("bad id", b'{"user": "\\ud800", "item": "i1", "rating": 5}')
        return _bad("bad id", self._text(body))
